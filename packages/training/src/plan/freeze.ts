import { AppError, type FreezeLayers } from '@headstart/contracts';
import { type BaseLayer, parametersOf } from '../models/vgg19/layers.js';

/**
 * Resolves `freezeLayers` to the names of the frozen base layers.
 *
 * A number N means Keras's `model.layers[:N]`, the InputLayer counted as index 0.
 * @param base the base as the plan cuts it, input first.
 * @throws AppError unknown_layer naming the valid names, or the valid range of N.
 */
export function frozenLayers(freeze: FreezeLayers, base: readonly BaseLayer[]): Set<string> {
  const names = base.map((layer) => layer.name);
  if (freeze === 'all') return new Set(names);
  if (freeze === 'none') return new Set();
  if (typeof freeze === 'number') {
    if (freeze > names.length) throw outOfRange(freeze, names);
    return new Set(names.slice(0, freeze));
  }
  if (typeof freeze === 'string') return new Set(names.slice(0, indexOf(freeze, names) + 1));
  for (const name of freeze) indexOf(name, names);
  return new Set(freeze);
}

/** The frozen layers that have weights: what freezing really takes out of training. */
export function frozenConvolutions(frozen: Set<string>, base: readonly BaseLayer[]): BaseLayer[] {
  return base.filter((layer) => frozen.has(layer.name) && parametersOf(layer) > 0);
}

function indexOf(name: string, names: string[]): number {
  const index = names.indexOf(name);
  if (index < 0) throw unknownLayer('freezeLayers', name, names);
  return index;
}

export function unknownLayer(field: string, received: string, allowed: string[]): AppError {
  return new AppError(
    'unknown_layer',
    `${field}: there is no layer "${received}" in this network. Its layers are ${allowed.join(', ')}.`,
    {
      errors: [{ field, message: 'Unknown layer', received, allowed }],
    },
  );
}

function outOfRange(received: number, names: string[]): AppError {
  const allowed = `0 to ${names.length}`;
  return new AppError(
    'unknown_layer',
    `freezeLayers: this network has ${names.length} layers below its head, the input counted, so N is ${allowed}; received ${received}.`,
    {
      errors: [{ field: 'freezeLayers', message: `Must be ${allowed}`, received, allowed }],
    },
  );
}
