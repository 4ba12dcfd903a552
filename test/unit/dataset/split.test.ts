import { splitClass } from '@headstart/dataset';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const pictures = (count: number) => Array.from({ length: count }, (_, i) => ({ path: `ants/${i}.jpg` }));
const paths = (files: { path: string }[]) => files.map(({ path }) => path);

const settings = fc.record({
  count: fc.integer({ min: 2, max: 60 }),
  validationSplit: fc.double({ min: 0.01, max: 0.9, noNaN: true }),
  seed: fc.nat(),
});

describe('splitClass', () => {
  it('puts every picture on exactly one side, and the share that was asked for into val', () => {
    fc.assert(
      fc.property(settings, ({ count, validationSplit, seed }) => {
        const { train, val } = splitClass('ants', pictures(count), { validationSplit, seed });
        expect([...paths(train), ...paths(val)].sort()).toEqual(paths(pictures(count)).sort());
        expect(train.length).toBeGreaterThanOrEqual(1);
        expect(val.length).toBeGreaterThanOrEqual(1);
        const wanted = Math.min(Math.max(Math.round(count * validationSplit), 1), count - 1);
        expect(val).toHaveLength(wanted);
      }),
    );
  });

  it('does not depend on the order in which the files were found', () => {
    fc.assert(
      fc.property(
        settings.chain((s) =>
          fc.record({
            s: fc.constant(s),
            shuffled: fc.shuffledSubarray(pictures(s.count), { minLength: s.count }),
          }),
        ),
        ({ s, shuffled }) => {
          expect(splitClass('ants', shuffled, s)).toEqual(splitClass('ants', pictures(s.count), s));
        },
      ),
    );
  });

  it('draws another split for another seed and for another class', () => {
    const draw = (name: string, seed: number) =>
      paths(splitClass(name, pictures(100), { validationSplit: 0.2, seed }).val);
    expect(draw('ants', 1)).toEqual(draw('ants', 1));
    expect(draw('ants', 2)).not.toEqual(draw('ants', 1));
    expect(draw('bees', 1)).not.toEqual(draw('ants', 1));
  });

  it('draws every picture equally often', () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 1000; seed++)
      for (const { path } of splitClass('ants', pictures(10), { validationSplit: 0.2, seed }).val)
        counts.set(path, (counts.get(path) ?? 0) + 1);
    // 1000 draws of 2 in 10: 200 expected, standard deviation 12.6.
    expect(counts.size).toBe(10);
    for (const count of counts.values()) expect(Math.abs(count - 200)).toBeLessThan(65);
  });

  it('needs two pictures', () => {
    expect(() => splitClass('ants', pictures(1), { validationSplit: 0.2, seed: 0 })).toThrow(
      expect.objectContaining({
        code: 'dataset_invalid',
        message: expect.stringContaining('Class "ants" has 1 usable picture') as string,
      }),
    );
  });
});
