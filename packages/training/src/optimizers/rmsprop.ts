import * as tf from '@tensorflow/tfjs-core';
import type { NamedVariable } from '../network.js';
import { Optimizer } from './optimizer.js';

const RHO = 0.9;
const EPSILON = 1e-7;

/** RMSprop in the form and with the defaults of keras.optimizers.RMSprop: the epsilon stands under the root. */
export class RmsProp extends Optimizer {
  constructor(variables: readonly NamedVariable[]) {
    super(variables, ['variance']);
  }

  protected update(target: NamedVariable, gradient: tf.Tensor, learningRate: number): void {
    const variance = this.slot(target, 'variance');
    variance.assign(tf.add(tf.mul(variance, RHO), tf.mul(tf.square(gradient), 1 - RHO)));
    const change = tf.div(tf.mul(gradient, learningRate), tf.sqrt(tf.add(variance, EPSILON)));
    target.variable.assign(tf.sub(target.variable, change));
  }
}
