import * as tf from '@tensorflow/tfjs-core';
import type { NamedVariable } from '../network.js';
import { Optimizer } from './optimizer.js';

/** Gradient descent with momentum as keras.optimizers.SGD: m = momentum m - rate g; w += m, or w += momentum m - rate g. */
export class Sgd extends Optimizer {
  private readonly momentum: number;
  private readonly nesterov: boolean;

  constructor(
    variables: readonly NamedVariable[],
    { momentum, nesterov }: { momentum: number; nesterov: boolean },
  ) {
    super(variables, momentum > 0 ? ['momentum'] : []);
    this.momentum = momentum;
    this.nesterov = nesterov;
  }

  protected update(target: NamedVariable, gradient: tf.Tensor, learningRate: number): void {
    const { variable } = target;
    if (this.momentum > 0 && !this.nesterov) {
      const momentum = this.slot(target, 'momentum');
      const numbers = { learningRate, decay: this.momentum };
      if (this.updateByKernel('MomentumUpdate', target, gradient, { momentum }, numbers)) return;
    }
    const descent = tf.mul(gradient, -learningRate);
    if (this.momentum === 0) {
      variable.assign(tf.add(variable, descent));
      return;
    }
    const slot = this.slot(target, 'momentum');
    const velocity = tf.add(tf.mul(slot, this.momentum), descent);
    slot.assign(velocity);
    variable.assign(
      tf.add(variable, this.nesterov ? tf.add(tf.mul(velocity, this.momentum), descent) : velocity),
    );
  }
}
