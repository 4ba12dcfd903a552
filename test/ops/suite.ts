import { setTestEnvs } from '@tensorflow/tfjs-core/dist/jasmine_util.js';
import * as tf from '@tensorflow/tfjs-core';
import jasmineCore from 'jasmine-core';
import * as engineModule from 'virtual:engine';
import { EXCLUSIONS } from './exclusions.js';
import { SuiteReporter } from './reporter.js';

/** Arguments of an engine's start, by name. */
export type EngineSettings = Record<string, string | number>;

interface StartableEngine {
  name: string;
  start(settings: EngineSettings): Promise<unknown>;
}

/** Tests of tfjs-core 4.22 on any backend; fewer mean that the bundle has lost some. */
const SUITE_SIZE = { sync: 4225, async: 4166 };

/** Engines that hand out a tensor's values by a promise alone: tests that read them at once are not for those. */
const ASYNC_ENGINES: readonly string[] = ['webgpu'];

/** What makes an engine run every op itself, however small: the suite's tensors are. */
const FORCING: Record<string, EngineSettings> = {
  onnxruntime: { minimumSize: 0 },
  webgpu: { minimumSize: 0 },
};

/**
 * Runs tfjs-core's suite on the engine that is bundled here, and prints failures and figures.
 * @param grep runs only tests whose full name contains it; empty for all. @returns whether every test passed.
 */
export async function runSuite(name: string, given: EngineSettings, grep: string): Promise<boolean> {
  const settings = { ...FORCING[name], ...given };
  const engine = Object.values(engineModule as Record<string, StartableEngine>).find(
    (candidate) => candidate?.name === name,
  );
  if (!engine) throw new Error(`The folder of the engine "${name}" exports no engine of that name.`);
  try {
    console.log(`${name} ${JSON.stringify(settings)}: ${JSON.stringify(await engine.start(settings))}`);
  } catch (error) {
    if (!settings['needsGpu']) throw error;
    console.log(`${name} is left out: ${(error as Error).message}`);
    return true;
  }

  const jasmine = jasmineCore.boot();

  const exclusions = EXCLUSIONS.filter((exclusion) => exclusion.engine === name);
  const reporter = new SuiteReporter(exclusions, grep);
  const env = jasmine.getEnv();
  env.clearReporters();
  env.addReporter(reporter);
  env.configure({
    random: false, // The tests share tfjs's one engine; their order is part of the suite.
    forbidDuplicateNames: false, // The suite has some.
    specFilter: (spec) => reporter.takes(spec.getFullName()),
  });
  const isDataSync = !ASYNC_ENGINES.includes(name);
  setTestEnvs([{ name, backendName: tf.getBackend(), flags: {}, isDataSync }]);
  await import('@tensorflow/tfjs-core/dist/register_all_gradients.js');
  await import('@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops.js');
  await import('@tensorflow/tfjs-core/dist/tests.js');
  await env.execute();
  return reporter.report(grep === '' ? SUITE_SIZE[isDataSync ? 'sync' : 'async'] : 1);
}
