import { ConfusionMatrix, type EpochMetrics } from '@headstart/contracts';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { packArrays, unpackArrays } from '../../../packages/training/src/arrays.js';
import { curvesSvg } from '../../../packages/training/src/curves.js';
import { confusionMatrix, confusionMatrixJson, jsonLines } from '../../../packages/training/src/metrics.js';
import { generatorFor, permutation } from '../../../packages/training/src/random.js';

describe('confusionMatrix', () => {
  it('counts, and gives precision, recall and F1 per class', () => {
    const { matrix, accuracy, perClass } = confusionMatrix(
      ['a', 'b', 'c'],
      [0, 0, 0, 1, 1, 2],
      [0, 0, 1, 1, 1, 0],
    );
    expect(matrix).toEqual([
      [2, 1, 0],
      [0, 2, 0],
      [1, 0, 0],
    ]);
    expect(accuracy).toBeCloseTo(4 / 6);
    expect(perClass[0]).toEqual({ class: 'a', support: 3, precision: 2 / 3, recall: 2 / 3, f1: 2 / 3 });
    expect(perClass[1]).toEqual({ class: 'b', support: 2, precision: 2 / 3, recall: 1, f1: 0.8 });
    expect(perClass[2]).toEqual({ class: 'c', support: 1, precision: 0, recall: 0, f1: 0 });
  });
});

/** As a whole, what a thousand classes and some ten thousand pictures come to is longer than V8 lets a string be. */
describe('what may be longer than a string can be is written in pieces', () => {
  it('predictions, one a piece', () => {
    expect([...jsonLines([{ a: 1 }, { a: 2 }])]).toEqual(['{"a":1}\n', '{"a":2}\n']);
  });

  it('the confusion matrix, a row a piece', () => {
    const matrix = confusionMatrix(['a', 'b', 'c'], [0, 1, 1], [0, 1, 0]);
    const pieces = [...confusionMatrixJson(matrix)];
    expect(ConfusionMatrix.parse(JSON.parse(pieces.join('')))).toEqual(matrix);
    expect(pieces.slice(1, -1).map((piece) => piece.trim())).toEqual(['[1,0,0],', '[1,1,0],', '[0,0,0]']);
  });
});

describe('curvesSvg', () => {
  it.each([1, 30])('draws %i epochs as a picture that opens', async (epochs) => {
    const metrics = Array.from({ length: epochs }, (_, i): EpochMetrics => ({
      epoch: i + 1,
      stage: 'head',
      loss: 1 / (i + 1),
      accuracy: i / epochs,
      valLoss: 1.2 / (i + 1),
      valAccuracy: i / epochs,
      learningRate: 1e-3,
      seconds: 1,
      picturesPerSecond: 10,
    }));
    const svg = curvesSvg(metrics);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(await sharp(Buffer.from(svg)).metadata()).toMatchObject({
      format: 'svg',
      width: 840,
      height: 260,
    });
  });
});

describe('packArrays', () => {
  it('is undone by unpackArrays, whatever the arrays', () => {
    const array = fc.float32Array({ maxLength: 20 }).map((values) => ({ shape: [values.length], values }));
    fc.assert(
      fc.property(fc.dictionary(fc.string(), array), (dictionary) => {
        const arrays = new Map(Object.entries(dictionary));
        const { specs, bytes } = packArrays(arrays);
        expect(unpackArrays(specs, bytes)).toEqual(arrays);
      }),
    );
  });

  it('does not unpack what was cut short', () => {
    const { specs, bytes } = packArrays(new Map([['a', { shape: [4], values: new Float32Array(4) }]]));
    expect(() => unpackArrays(specs, bytes.subarray(0, 12))).toThrow();
    expect(() => unpackArrays(specs, Buffer.concat([bytes, Buffer.alloc(4)]))).toThrow('Expected 16 bytes');
  });
});

describe('permutation', () => {
  it('holds every index once, follows its seed, and differs between epochs', () => {
    fc.assert(
      fc.property(fc.nat(500), fc.nat(), (length, seed) => {
        const order = permutation(length, generatorFor(seed, 'order', 1));
        expect([...order].toSorted((a, b) => a - b)).toEqual(Array.from({ length }, (_, i) => i));
        expect(permutation(length, generatorFor(seed, 'order', 1))).toEqual(order);
      }),
    );
    expect(permutation(100, generatorFor(0, 'order', 2))).not.toEqual(
      permutation(100, generatorFor(0, 'order', 1)),
    );
  });
});
