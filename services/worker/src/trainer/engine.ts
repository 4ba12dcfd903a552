import { join } from 'node:path';
import type { Runtime } from '@headstart/contracts';
import { selectEngine } from '@headstart/engines';
import type { EngineChoice } from '../trainer-protocol.js';

/** Starts the engine that the worker is set to. What it loads stays loaded: a second start costs next to nothing. */
export function startEngine(
  { engine, engineThreads, engineSharers, cacheDir }: EngineChoice,
  needs: { trainsConvolutions: boolean },
): Promise<Runtime> {
  return selectEngine(engine, needs, {
    threads: engineThreads,
    sharers: engineSharers,
    kernelCacheDir: join(cacheDir, 'cuda'),
  });
}
