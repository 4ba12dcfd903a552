import type { GraphBuilder } from '../graph/builder.js';
import { Program } from './program.js';

/** Threads of all sessions together; each session has as many as the engine. */
const THREADS_OF_ALL_SESSIONS = 2048;

/**
 * Programs by kernel, shape and attributes. The one that was used longest ago goes where there are too many: VGG19's
 * training needs about 70.
 */
export class ProgramCache {
  private readonly programs = new Map<string, Program>();
  private readonly settings: { threads: number; zeroCopy: boolean };
  private readonly limit: number;

  constructor(settings: { threads: number; zeroCopy: boolean }) {
    this.settings = settings;
    this.limit = Math.max(32, Math.min(192, Math.floor(THREADS_OF_ALL_SESSIONS / settings.threads)));
  }

  get size(): number {
    return this.programs.size;
  }

  /** @param key everything `build` depends on. */
  get(key: string, build: () => GraphBuilder): Program {
    let program = this.programs.get(key);
    if (program) this.programs.delete(key);
    else program = new Program(build(), this.settings);
    this.programs.set(key, program);
    if (this.programs.size > this.limit) this.remove(this.programs.keys().next().value!);
    return program;
  }

  dispose(): void {
    for (const key of [...this.programs.keys()]) this.remove(key);
  }

  private remove(key: string): void {
    this.programs.get(key)!.dispose();
    this.programs.delete(key);
  }
}
