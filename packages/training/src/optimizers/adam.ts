import * as tf from '@tensorflow/tfjs-core';
import type { NamedVariable } from '../network.js';
import { Optimizer } from './optimizer.js';

const BETA_1 = 0.9;
const BETA_2 = 0.999;
const EPSILON = 1e-7;

/** Adam (Kingma and Ba, arXiv:1412.6980) in the form and with the defaults of keras.optimizers.Adam. */
export class Adam extends Optimizer {
  constructor(variables: readonly NamedVariable[]) {
    super(variables, ['mean', 'variance']);
  }

  protected update(target: NamedVariable, gradient: tf.Tensor, learningRate: number): void {
    const mean = this.slot(target, 'mean');
    const variance = this.slot(target, 'variance');
    const correctedRate = (learningRate * Math.sqrt(1 - BETA_2 ** this.step)) / (1 - BETA_1 ** this.step);
    const numbers = { correctedRate, meanShare: 1 - BETA_1, varianceShare: 1 - BETA_2, epsilon: EPSILON };
    if (this.updateByKernel('AdamUpdate', target, gradient, { mean, variance }, numbers)) return;
    mean.assign(tf.add(mean, tf.mul(tf.sub(gradient, mean), 1 - BETA_1)));
    variance.assign(tf.add(variance, tf.mul(tf.sub(tf.square(gradient), variance), 1 - BETA_2)));
    const change = tf.div(tf.mul(mean, correctedRate), tf.add(tf.sqrt(variance), EPSILON));
    target.variable.assign(tf.sub(target.variable, change));
  }
}
