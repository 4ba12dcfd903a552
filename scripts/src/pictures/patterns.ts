import type { Random } from './random.js';

/**
 * The classes: four textures. Each draws SVG elements around (0, 0), far enough out to cover the picture at every
 * rotation, filled or stroked with "currentColor". `spacing` is the distance between two repeats in pixels.
 */
export const PATTERNS = { checks, dots, stripes, waves } as const satisfies Record<string, Pattern>;
export type PatternName = keyof typeof PATTERNS;

type Pattern = (random: Random, spacing: number, reach: number) => string;

function checks(random: Random, spacing: number, reach: number): string {
  const side = spacing * random.between(0.9, 1);
  const squares = grid(spacing, reach).filter(({ row, column }) => (row + column) % 2 === 0);
  return squares
    .map(({ x, y }) => `<rect x="${x - side / 2}" y="${y - side / 2}" width="${side}" height="${side}"/>`)
    .join('');
}

function dots(random: Random, spacing: number, reach: number): string {
  const radius = spacing * random.between(0.25, 0.42);
  const jitter = spacing * random.between(0, 0.15);
  return grid(spacing, reach)
    .map(({ x, y }) => {
      const [dx, dy] = [random.between(-jitter, jitter), random.between(-jitter, jitter)];
      return `<circle cx="${x + dx}" cy="${y + dy}" r="${radius}"/>`;
    })
    .join('');
}

function stripes(random: Random, spacing: number, reach: number): string {
  return lines(random, spacing, reach, 0);
}

function waves(random: Random, spacing: number, reach: number): string {
  return lines(random, spacing, reach, spacing * random.between(0.45, 0.8));
}

/** Parallel lines; with an amplitude (pixels) they are sine waves. */
function lines(random: Random, spacing: number, reach: number, amplitude: number): string {
  const width = spacing * random.between(0.3, 0.6);
  const wavelength = spacing * random.between(2, 4);
  const step = wavelength / 12;
  const paths: string[] = [];
  for (let y = -reach; y <= reach; y += spacing) {
    const points: string[] = [];
    for (let x = -reach; x <= reach; x += step) {
      points.push(`${x.toFixed(1)},${(y + amplitude * Math.sin((2 * Math.PI * x) / wavelength)).toFixed(1)}`);
    }
    paths.push(`<polyline points="${points.join(' ')}"/>`);
  }
  return `<g fill="none" stroke="currentColor" stroke-width="${width}">${paths.join('')}</g>`;
}

function grid(spacing: number, reach: number): { x: number; y: number; row: number; column: number }[] {
  const count = Math.ceil(reach / spacing);
  const indices = Array.from({ length: 2 * count + 1 }, (_, index) => index);
  return indices.flatMap((row) =>
    indices.map((column) => ({ row, column, x: (column - count) * spacing, y: (row - count) * spacing })),
  );
}
