import * as tf from '@tensorflow/tfjs-core';
import type { NamedVariable } from '../network.js';
import type { NamedArrays } from '../arrays.js';

/** Values an optimizer keeps beside a variable, such as its momentum: one tensor of the variable's shape per kind. */
type SlotKind = 'momentum' | 'mean' | 'variance';

/**
 * An optimizer whose whole state can be read and put back exactly.
 *
 * tfjs's own rebuild part of theirs (Adam's running products) or cannot take a new learning rate at every step; these
 * follow Keras's formulas, with the learning rate handed in.
 */
export abstract class Optimizer {
  /** Updates applied so far. */
  protected step = 0;
  private readonly slots = new Map<string, tf.Variable>();
  protected readonly variables: readonly NamedVariable[];

  constructor(variables: readonly NamedVariable[], kinds: readonly SlotKind[]) {
    this.variables = variables;
    for (const { name, variable } of variables) {
      for (const kind of kinds)
        this.slots.set(
          `${name}/${kind}`,
          tf.tidy(() => tf.variable(tf.zerosLike(variable), false)),
        );
    }
  }

  /** The update of one variable. Runs inside a tidy. @param gradient of the variable's shape. */
  protected abstract update(target: NamedVariable, gradient: tf.Tensor, learningRate: number): void;

  /** Applies one step. @param gradients by the variables' own tfjs names; they are disposed. */
  apply(gradients: tf.NamedTensorMap, learningRate: number): void {
    this.step++;
    tf.tidy(() => {
      for (const target of this.variables)
        this.update(target, gradients[target.variable.name]!, learningRate);
    });
    tf.dispose(gradients);
  }

  /**
   * Applies an update in one pass where the engine has a kernel for it.
   * @param slots in the order of the kernel's results behind the variable. @param numbers the formula's own.
   * @returns false where there is none: the caller computes it by ops.
   */
  protected updateByKernel(
    kernelName: string,
    { variable }: NamedVariable,
    gradient: tf.Tensor,
    slots: Readonly<Record<string, tf.Variable>>,
    numbers: Readonly<Record<string, number>>,
  ): boolean {
    if (!(tf.getKernel(kernelName, tf.getBackend()) as tf.KernelConfig | undefined)) return false;
    const results = tf
      .engine()
      .runKernel<tf.Tensor[]>(kernelName, { variable, gradient, ...slots }, { ...numbers });
    [variable, ...Object.values(slots)].forEach((target, index) => target.assign(results[index]!));
    return true;
  }

  protected slot(target: NamedVariable, kind: SlotKind): tf.Variable {
    return this.slots.get(`${target.name}/${kind}`)!;
  }

  /** Updates applied so far, and every slot. */
  async state(): Promise<{ step: number; slots: NamedArrays }> {
    const slots: NamedArrays = new Map();
    for (const [name, slot] of this.slots)
      slots.set(name, { shape: slot.shape, values: (await slot.data()) as Float32Array });
    return { step: this.step, slots };
  }

  /** Puts a state back. @throws Error if a slot is missing. */
  restore(step: number, slots: NamedArrays): void {
    this.step = step;
    for (const [name, slot] of this.slots) {
      const stored = slots.get(name);
      if (!stored) throw new Error(`The checkpoint has no optimizer state "${name}".`);
      tf.tidy(() => slot.assign(tf.tensor(stored.values, slot.shape)));
    }
  }

  dispose(): void {
    for (const slot of this.slots.values()) slot.dispose();
  }
}
