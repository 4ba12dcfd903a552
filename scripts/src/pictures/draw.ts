import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { PATTERNS, type PatternName } from './patterns.js';
import { createRandom, type Random } from './random.js';

const SIDE = 128;

export const PICTURE_CLASSES = Object.keys(PATTERNS) as PatternName[];

export interface PictureSet {
  folder: string;
  perClass: number;
  seed: number;
}

/**
 * Draws a data set, one folder of JPEG files per class, and replaces what was in `folder`.
 *
 * Colour, scale, rotation, place, background, stray shapes and noise say nothing about the class: only the texture does.
 * Their ranges are such that even frozen random layers tell the textures apart, well above chance and short of always.
 */
export async function drawPictures(
  { folder, perClass, seed }: PictureSet,
  signal: AbortSignal,
): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  for (const [label, name] of PICTURE_CLASSES.entries()) {
    await mkdir(join(folder, name), { recursive: true });
    for (let index = 0; index < perClass; index++) {
      signal.throwIfAborted();
      // Far apart, so that neighbours do not share the start of their sequences.
      const random = createRandom(seed * 1_000_003 + label * 10_007 + index * 101);
      const file = join(folder, name, `${name}-${String(index + 1).padStart(3, '0')}.jpg`);
      await drawPicture(name, random, file);
    }
  }
}

async function drawPicture(name: PatternName, random: Random, file: string): Promise<void> {
  const { data, info } = await sharp(Buffer.from(pictureSvg(name, random)))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const noise = random.between(2, 6);
  for (let i = 0; i < data.length; i++) {
    data[i] = Math.max(0, Math.min(255, Math.round((data[i] ?? 0) + noise * random.normal())));
  }
  await sharp(data, { raw: { width: info.width, height: info.height, channels: 3 } })
    .jpeg({ quality: 85 })
    .toFile(file);
}

/** A patch of the texture, in any place and size, on a shaded background, with stray shapes of no meaning over it. */
function pictureSvg(name: PatternName, random: Random): string {
  const hue = random.between(0, 360);
  const background = colour(hue, random, [50, 62]);
  const shade = colour(hue + random.between(-60, 60), random, [50, 62]);
  const ink = colour(hue + random.between(90, 270), random, [8, 18]);
  const spacing = random.between(8, 14);
  const [x, y] = [random.between(0.35, 0.65) * SIDE, random.between(0.35, 0.65) * SIDE];
  const patch = blob(random, SIDE * random.between(0.6, 1));
  const texture = PATTERNS[name](random, spacing, SIDE);
  const stray = Array.from({ length: random.integer(0, 2) }, () => strayShape(random)).join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}">
    <defs>
      <linearGradient id="shade" gradientTransform="rotate(${random.between(0, 90)})">
        <stop offset="0" stop-color="${background}"/><stop offset="1" stop-color="${shade}"/>
      </linearGradient>
      <clipPath id="patch"><path d="${patch}"/></clipPath>
    </defs>
    <rect width="${SIDE}" height="${SIDE}" fill="url(#shade)"/>
    <g transform="translate(${x} ${y})" clip-path="url(#patch)" color="${ink}" fill="${ink}">
      <g transform="rotate(${random.between(0, 180)}) skewX(${random.between(-15, 15)})">${texture}</g>
    </g>
    ${stray}
  </svg>`;
}

function strayShape(random: Random): string {
  const [x, y] = [random.between(0, SIDE), random.between(0, SIDE)];
  const size = random.between(4, 16);
  const fill = colour(random.between(0, 360), random, [15, 85]);
  const turn = `transform="rotate(${random.between(0, 180)} ${x} ${y})"`;
  switch (random.integer(0, 2)) {
    case 0:
      return `<circle cx="${x}" cy="${y}" r="${size}" fill="${fill}"/>`;
    case 1:
      return `<rect x="${x}" y="${y}" width="${size * 2}" height="${size}" fill="${fill}" ${turn}/>`;
    default:
      return `<line x1="${x - 60}" x2="${x + 60}" y1="${y}" y2="${y}" stroke="${fill}" stroke-width="${size / 3}" ${turn}/>`;
  }
}

/** A closed, rounded outline around (0, 0). */
function blob(random: Random, radius: number): string {
  const corners = 8;
  const points = Array.from({ length: corners }, (_, index) => {
    const angle = (2 * Math.PI * index) / corners;
    const r = radius * random.between(0.8, 1.15);
    return [r * Math.cos(angle), r * Math.sin(angle)] as const;
  });
  const middle = (index: number) => {
    const [a, b] = [points[index % corners] ?? [0, 0], points[(index + 1) % corners] ?? [0, 0]];
    return `${(a[0] + b[0]) / 2} ${(a[1] + b[1]) / 2}`;
  };
  const curves = points.map((_, index) => {
    const [cx, cy] = points[(index + 1) % corners] ?? [0, 0];
    return `Q ${cx} ${cy} ${middle(index + 1)}`;
  });
  return `M ${middle(0)} ${curves.join(' ')} Z`;
}

function colour(hue: number, random: Random, lightness: [number, number]): string {
  return `hsl(${((hue % 360) + 360) % 360}, ${random.between(5, 25)}%, ${random.between(...lightness)}%)`;
}
