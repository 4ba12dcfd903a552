import type { CompilePrefix, Runtime } from '@headstart/contracts';

/** What a plan asks of an engine. */
export interface EngineNeeds {
  /** True where a convolution is trained: its filter gradient is needed. */
  trainsConvolutions: boolean;
}

/** How an engine is to run; one that has no say in it ignores it. */
export interface EngineSettings {
  /** Threads for arithmetic; default: one for every physical core, divided among `sharers`. */
  threads?: number | undefined;
  /** Processes that are to have equal shares of the machine; default 1. */
  sharers?: number | undefined;
  /** A folder that outlives the process and its container: kernels compiled for a GPU are kept there. */
  kernelCacheDir?: string | undefined;
  /** True where an engine that finds no GPU is to refuse, instead of computing on the CPU; default false. */
  needsGpu?: boolean | undefined;
}

/** A tfjs backend, and what it can do. An engine is a folder of its own and a line in the registry. */
export interface Engine {
  name: string;
  /** False where the backend has no kernel for a convolution's filter gradient. */
  trainsConvolutions: boolean;
  /**
   * Loads the backend and makes it tfjs's current one.
   * @returns where it runs. @throws whatever keeps it from loading.
   */
  start(settings?: EngineSettings): Promise<Pick<Runtime, 'device' | 'versions'>>;
  /** Makes one program of the frozen prefix; absent where the engine gains nothing by it. It must have been started. */
  compilePrefix?: CompilePrefix;
}
