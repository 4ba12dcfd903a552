import type { Optimizer as OptimizerSettings } from '@headstart/contracts';
import type { NamedVariable } from '../network.js';
import { Adam } from './adam.js';
import type { Optimizer } from './optimizer.js';
import { RmsProp } from './rmsprop.js';
import { Sgd } from './sgd.js';

export type { Optimizer } from './optimizer.js';

/** The optimizer of a stage, with fresh state for the variables the stage trains. */
export function createOptimizer(settings: OptimizerSettings, variables: readonly NamedVariable[]): Optimizer {
  switch (settings.type) {
    case 'sgd':
      return new Sgd(variables, settings);
    case 'adam':
      return new Adam(variables);
    case 'rmsprop':
      return new RmsProp(variables);
  }
}
