import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Prediction } from '@headstart/contracts';
import { io } from '@tensorflow/tfjs-core';
import { curvesSvg } from './curves.js';
import { writeKerasFile } from './keras-file.js';
import { confusionMatrix, confusionMatrixJson, jsonLines, metricsCsv } from './metrics.js';
import { BGR_MEANS } from './preprocess.js';
import type { TrainedRun } from './run.js';

/** Size of one shard of the model's weights: what tfjs itself writes, and what browsers cache. */
const SHARD_BYTES = 4 * 1024 * 1024;
const KERAS_FILE = 'model/model.h5';

/**
 * Writes what a finished run leaves: the model, its labels, its metrics.
 * @returns the files' paths below `directory`, with "/" between the parts.
 */
export async function exportRun(run: TrainedRun, directory: string): Promise<string[]> {
  const { plan, metrics } = run;
  const predicted = run.evaluation.probabilities.map((row) => row.indexOf(Math.max(...row)));
  const matrix = confusionMatrix(
    plan.classes!,
    run.val.map(({ label }) => label),
    predicted,
  );
  const files = new Map<string, string | Uint8Array | Iterable<string>>([
    ...(await modelFiles(run)),
    ['labels.json', json(labels(run))],
    ['metrics.jsonl', jsonLines(metrics)],
    ['metrics.csv', metricsCsv(metrics)],
    ['confusion-matrix.json', confusionMatrixJson(matrix)],
    ['predictions.jsonl', jsonLines(predictionsOf(run, predicted))],
    ['curves.svg', curvesSvg(metrics)],
  ]);
  for (const [path, content] of files) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  await writeKerasFile(join(directory, KERAS_FILE), run.network);
  return [...files.keys(), KERAS_FILE];
}

/** labels.json: what the model's outputs mean, and what its input must be. */
function labels({ plan }: TrainedRun) {
  return {
    classes: plan.classes,
    input: {
      shape: [plan.inputSize, plan.inputSize, 3],
      resize: 'bilinear, half-pixel centres, no antialiasing, aspect ratio not kept',
      channels: 'BGR',
      subtract: BGR_MEANS,
    },
    output: 'softmax probabilities, in the order of classes',
  };
}

/** @param predicted the most probable class of each validation picture. */
function* predictionsOf(
  { plan, val, evaluation }: TrainedRun,
  predicted: readonly number[],
): Generator<Prediction> {
  const classes = plan.classes!;
  for (const [index, { path, sha256, label }] of val.entries())
    yield {
      path,
      sha256,
      class: classes[label]!,
      predicted: classes[predicted[index]!]!,
      probabilities: [...evaluation.probabilities[index]!],
    };
}

/** model/model.json and its shards, in the format that tf.loadLayersModel opens. */
async function modelFiles({ network }: TrainedRun): Promise<[string, string | Uint8Array][]> {
  const shards: [string, Uint8Array][] = [];
  let modelJson: io.ModelJSON | undefined;
  await network.model.save(
    io.withSaveHandler((artifacts) => {
      const weights = new io.CompositeArrayBuffer(artifacts.weightData);
      const count = Math.ceil(weights.byteLength / SHARD_BYTES);
      for (let i = 0; i < count; i++) {
        const bytes = weights.slice(i * SHARD_BYTES, Math.min((i + 1) * SHARD_BYTES, weights.byteLength));
        shards.push([`group1-shard${i + 1}of${count}.bin`, new Uint8Array(bytes)]);
      }
      const { modelTopology, format, generatedBy } = artifacts;
      const weightsManifest = [{ paths: shards.map(([name]) => name), weights: artifacts.weightSpecs! }];
      modelJson = {
        modelTopology: modelTopology!,
        format: format!,
        generatedBy: generatedBy!,
        convertedBy: null,
        weightsManifest,
      };
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } });
    }),
  );
  return [
    ['model/model.json', JSON.stringify(modelJson)],
    ...shards.map(([name, bytes]): [string, Uint8Array] => [`model/${name}`, bytes]),
  ];
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
