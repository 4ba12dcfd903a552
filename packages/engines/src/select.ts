import { AppError, type CompilePrefix, type Runtime } from '@headstart/contracts';
import { enableProdMode } from '@tensorflow/tfjs-core';
import type { Engine, EngineNeeds, EngineSettings } from './engine.js';
import { onnxruntime } from './onnxruntime/index.js';
import { tensorflow } from './tensorflow/index.js';
import { wasm } from './wasm/index.js';
import { webgpu } from './webgpu/index.js';

const ENGINES = [tensorflow, webgpu, onnxruntime, wasm] as const;

export const ENGINE_NAMES = ['auto', 'tensorflow', 'webgpu', 'onnxruntime', 'wasm'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

/**
 * What `auto` tries, fastest first: a GPU before any CPU, and on the CPU the order of bench/README.md's figures for features and
 * a full training step at 224 pixels. Not `webgpu`, which has not been measured on a GPU yet.
 */
const AUTO_ORDER: readonly { engine: Engine; needsGpu: boolean }[] = [
  { engine: tensorflow, needsGpu: true },
  { engine: onnxruntime, needsGpu: false },
  { engine: tensorflow, needsGpu: false },
  { engine: wasm, needsGpu: false },
];

/**
 * Starts the engine a worker is set to. A named engine never falls back; `auto` takes the first that loads and can train
 * the plan, and the returned runtime says which.
 * @throws AppError engine_unavailable if it does not load, engine_cannot_train if it lacks what the plan needs.
 */
export async function selectEngine(
  name: EngineName,
  needs: EngineNeeds,
  settings?: EngineSettings,
): Promise<Runtime> {
  if (name !== 'auto') {
    const engine = ENGINES.find((candidate) => candidate.name === name)!;
    if (!canTrain(engine, needs)) throw cannotTrain(engine);
    return start(engine, settings);
  }
  // TensorFlow may fail twice for one reason.
  const failures = new Set<string>();
  for (const { engine, needsGpu } of AUTO_ORDER.filter((choice) => canTrain(choice.engine, needs))) {
    try {
      return await start(engine, { ...settings, needsGpu });
    } catch (error) {
      failures.add((error as AppError).message);
    }
  }
  const none = needs.trainsConvolutions
    ? 'No engine of this worker that trains convolutions loads; the engine "wasm" takes plans that freeze every layer of the base.'
    : 'No engine of this worker loads.';
  throw new AppError('engine_unavailable', `${none} ${[...failures].join(' ')}`);
}

/** How the started engine compiles a frozen prefix; undefined where it has no way to. @param name as the runtime has it. */
export function prefixCompilerOf(name: string): CompilePrefix | undefined {
  const engines: readonly Engine[] = ENGINES;
  return engines.find((engine) => engine.name === name)?.compilePrefix;
}

function canTrain(engine: Engine, needs: EngineNeeds): boolean {
  return engine.trainsConvolutions || !needs.trainsConvolutions;
}

async function start(engine: Engine, settings?: EngineSettings): Promise<Runtime> {
  enableProdMode(); // Without it tfjs prints an advertisement and checks shapes a second time.
  try {
    return { engine: engine.name, ...(await engine.start(settings)) };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new AppError(
      'engine_unavailable',
      `The engine "${engine.name}" does not load on this worker: ${reason}`,
      { cause: error, details: { engine: engine.name } },
    );
  }
}

function cannotTrain(engine: Engine): AppError {
  const able = ENGINES.filter(({ trainsConvolutions }) => trainsConvolutions).map(({ name }) => name);
  return new AppError(
    'engine_cannot_train',
    `The engine "${engine.name}" cannot train convolutions, and this plan trains some. Freeze every layer of the base, or run a worker with ENGINE set to ${able.join(' or ')}.`,
    { details: { engine: engine.name, enginesThatCan: able } },
  );
}
