import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HeadstartClient } from '@headstart/client';
import type { Job, JobRequestInput, Plan } from '@headstart/contracts';
import { decodePicture } from '@headstart/dataset';
import { type EngineName, prefixCompilerOf, selectEngine } from '@headstart/engines';
import { type BaseWeights, buildNetwork, loadBaseWeights } from '@headstart/training';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { openPrefix } from '../../packages/training/src/features/prefix.js';
import { LIMITS, uriOf } from '../support/dataset.js';
import { tensorflowIsMissing } from '../support/engines.js';
import { killServices, startApi, startWorker } from '../support/services.js';
import { ANTS_BEES, SHARED_FOLDER, sharedIsMissing } from '../support/shared.js';
import { planFor } from '../support/training.js';
import { writeWeights } from '../support/vgg19-weights.js';

const ENGINES = ['tensorflow', 'onnxruntime'] as const;
const FEATURES_TOLERANCE = 1e-4;
const ACCURACY_TOLERANCE = 0.02;
const FEATURE_PICTURES = 4;
/** Both jobs take an engine about a minute on two cores. */
const TIME_LIMIT_MS = 15 * 60_000;

/** Smaller than 224 pixels, for time's sake; so many epochs that chance is left behind. */
const REQUESTS: Record<'small-different' | 'large-similar', Omit<JobRequestInput, 'datasetUri'>> = {
  'small-different': {
    scenario: 'small-different',
    model: { featureLayer: 'block3_pool', inputSize: 128 },
    training: { epochs: 10 },
  },
  'large-similar': {
    scenario: 'large-similar',
    freezeLayers: 'block4_pool',
    model: { inputSize: 96 },
    training: { headEpochs: 10, epochs: 12 },
  },
};
type Scenario = keyof typeof REQUESTS;
const SCENARIOS = Object.keys(REQUESTS) as Scenario[];

let folder: string;
let weightsFile: string;
const jobs: Partial<Record<EngineName, Record<Scenario, Job>>> = {};

const never = () => Promise.reject(new Error('not asked for'));

describe.skipIf(sharedIsMissing() || tensorflowIsMissing())('on photographs of ants and bees', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headstart-agree-'));
    weightsFile = join(folder, 'vgg19.h5');
    await writeWeights(weightsFile);
    // One after the other: each wants the cores for itself.
    for (const engine of ENGINES) jobs[engine] = await runJobs(engine);
  }, TIME_LIMIT_MS);

  afterAll(async () => {
    killServices();
    await rm(folder, { recursive: true, force: true });
  });

  it.each(SCENARIOS)('tensorflow and onnxruntime come to the same accuracy: %s', (scenario) => {
    const [actual, expected] = ENGINES.map((engine) => jobs[engine]![scenario]);
    for (const [name, { engine, status, error, metrics, startedAt, finishedAt }] of ENGINES.map(
      (each) => [each, jobs[each]![scenario]] as const,
    )) {
      expect([error, status, engine]).toEqual([null, 'succeeded', name]);
      const { loss, valLoss, valAccuracy } = metrics.at(-1)!;
      const seconds = Math.round((Date.parse(finishedAt!) - Date.parse(startedAt!)) / 1000);
      console.log(
        `${scenario} on ${name}: validation accuracy ${valAccuracy.toFixed(4)}, loss ${loss.toFixed(5)}, validation loss ${valLoss.toFixed(5)}; ${seconds} s`,
      );
    }
    const difference = actual!.metrics.at(-1)!.valAccuracy - expected!.metrics.at(-1)!.valAccuracy;
    expect(Math.abs(difference)).toBeLessThanOrEqual(ACCURACY_TOLERANCE);
  });

  it.each(['block3_pool', 'block4_pool', 'block5_pool'])(
    'tensorflow and onnxruntime come to the same features at %s',
    async (featureLayer) => {
      const plan = planFor({
        scenario: 'small-different',
        model: { featureLayer, weights: uriOf(weightsFile), inputSize: 224 },
      });
      const weights = await loadFrom(weightsFile, plan);
      const [actual, expected] = [
        await featuresOn('tensorflow', plan, weights),
        await featuresOn('onnxruntime', plan, weights),
      ];
      expect(actual).toHaveLength(expected.length);
      let [difference, largest] = [0, 0];
      expected.forEach((value, i) => {
        difference = Math.max(difference, Math.abs(value - actual[i]!));
        largest = Math.max(largest, Math.abs(value));
      });
      console.log(
        `${featureLayer}: largest difference ${(difference / largest).toExponential(1)} of the largest feature, ${largest.toFixed(1)}`,
      );
      expect(difference / largest).toBeLessThanOrEqual(FEATURES_TOLERANCE);
    },
  );
});

/** Both jobs on a service of its own. */
async function runJobs(engine: EngineName): Promise<Record<Scenario, Job>> {
  const env = {
    REDIS_URL: inject('redisUrl'),
    QUEUE_PREFIX: `engines-agree-${engine}`,
    FILE_ROOTS: `${SHARED_FOLDER},${folder}`,
    OUTPUT_URI: uriOf(join(folder, 'output')),
    WORK_DIR: join(folder, 'work'),
    // Of its own: features that the other has computed are not to be found.
    CACHE_DIR: join(folder, `cache-${engine}`),
    ENGINE: engine,
  };
  const [api] = await Promise.all([startApi(env), startWorker(env)]);
  const client = new HeadstartClient(api.url);
  const run = async ({ model, ...request }: Omit<JobRequestInput, 'datasetUri'>) => {
    const { id } = await client.createJob({
      ...request,
      datasetUri: `${uriOf(ANTS_BEES)}/`,
      model: { ...model, weights: uriOf(weightsFile) },
    });
    return client.waitForJob(id);
  };
  const [different, similar] = await Promise.all(SCENARIOS.map((scenario) => run(REQUESTS[scenario])));
  killServices();
  return { 'small-different': different!, 'large-similar': similar! };
}

function loadFrom(path: string, plan: Plan): Promise<BaseWeights> {
  return loadBaseWeights(plan, { fetchFile: () => Promise.resolve(path), imagenetFile: never });
}

/** As a job computes them. @returns the features of some of the pictures, one after another. */
async function featuresOn(engine: EngineName, plan: Plan, weights: BaseWeights): Promise<Float32Array> {
  await selectEngine(engine, { trainsConvolutions: false });
  const network = buildNetwork(plan, weights);
  const length = plan.layers.findIndex(({ name }) => name === plan.featureLayer) + 1;
  const prefix = openPrefix(plan, network, [length], prefixCompilerOf(engine));
  const ants = join(ANTS_BEES, 'val', 'ants');
  const names = (await readdir(ants)).sort().slice(0, FEATURE_PICTURES);
  const pictures = await Promise.all(
    names.map((name) => decodePicture(join(ants, name), plan.inputSize, LIMITS)),
  );
  // A copy: the next engine may use the memory again.
  const [output] = await prefix.run(pictures);
  const features = Float32Array.from(output!);
  prefix.dispose();
  network.dispose();
  return features;
}
