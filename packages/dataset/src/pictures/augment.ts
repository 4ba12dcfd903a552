import type { Augmentation } from '@headstart/contracts';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { randomFrom } from '../random.js';
import { sampleBilinear } from './resize.js';

/** What one picture goes through. All zeros, `zoom` 1 and `brightness` 1 change nothing. */
export interface Transform {
  flip: boolean;
  /** Pixels, to the right. */
  shiftX: number;
  /** Pixels, downwards. */
  shiftY: number;
  /** Above 1 enlarges. */
  zoom: number;
  /** Radians, clockwise. */
  rotation: number;
  /** Factor on every value. */
  brightness: number;
}

/** Draws a transform. Each number has its own place in the sequence, so turning one kind on leaves the others alone. */
export function drawTransform(
  settings: Augmentation,
  size: number,
  { seed, epoch, index }: { seed: number; epoch: number; index: number },
): Transform {
  const random = randomFrom('augment', seed, epoch, index);
  const signed = () => uniformFloat64(random) * 2 - 1;
  const flip = uniformFloat64(random) < 0.5;
  return {
    flip: settings.flip && flip,
    shiftX: settings.shift * size * signed(),
    shiftY: settings.shift * size * signed(),
    zoom: 1 + settings.zoom * signed(),
    rotation: ((settings.rotation * Math.PI) / 180) * signed(),
    brightness: 1 + settings.brightness * signed(),
  };
}

/**
 * Changes a picture at random, within the settings.
 *
 * @param rgb [size, size, 3] float32, 0..255; left as it is.
 * @param seed seed of the job, epoch and index of the picture: the same three give the same picture, in any process.
 * @returns a new [size, size, 3] float32, 0..255.
 */
export function augmentPicture(
  rgb: Float32Array,
  size: number,
  settings: Augmentation,
  seed: { seed: number; epoch: number; index: number },
): Float32Array {
  return applyTransform(rgb, size, drawTransform(settings, size, seed));
}

/**
 * One affine map from each output pixel back into the input, about the centre, sampled bilinearly once, so that several
 * changes blur no more than one. What lies outside repeats the nearest edge (Keras's `fill_mode='nearest'`).
 */
export function applyTransform(rgb: Float32Array, size: number, transform: Transform): Float32Array {
  const { shiftX, shiftY, zoom, rotation, brightness } = transform;
  const out = new Float32Array(rgb.length);
  const centre = (size - 1) / 2;
  const last = size - 1;
  const cos = Math.cos(rotation) / zoom;
  const sin = Math.sin(rotation) / zoom;
  const mirror = transform.flip ? -1 : 1;
  let o = 0;
  for (let y = 0; y < size; y++) {
    const dy = y - centre - shiftY;
    for (let x = 0; x < size; x++) {
      const dx = x - centre - shiftX;
      const sourceX = clamp(mirror * (cos * dx + sin * dy) + centre, last);
      const sourceY = clamp(cos * dy - sin * dx + centre, last);
      const x0 = Math.floor(sourceX);
      const y0 = Math.floor(sourceY);
      const wx = sourceX - x0;
      const wy = sourceY - y0;
      const right = x0 < last ? 3 : 0;
      const below = y0 < last ? size * 3 : 0;
      const offset = (y0 * size + x0) * 3;
      for (let p = offset; p < offset + 3; p++)
        out[o++] = clamp(sampleBilinear(rgb, p, right, below, wx, wy) * brightness, 255);
    }
  }
  return out;
}

function clamp(value: number, largest: number): number {
  return value < 0 ? 0 : value > largest ? largest : value;
}
