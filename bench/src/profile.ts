import * as tf from '@tensorflow/tfjs-core';

interface Entry {
  calls: number;
  milliseconds: number;
}

/**
 * Where the time of a run goes: every kernel of the current backend is timed, by name and shapes.
 *
 * Only for backends whose kernels are done when they return. A kernel that calls another by its function, not by its name,
 * counts as one.
 */
export class KernelProfile {
  private readonly entries = new Map<string, Entry>();
  /** Time in kernels that the running kernel called by name: not its own. */
  private nestedMs = 0;

  /** Takes the place of the current backend's kernels, for as long as the process lives. */
  install(): void {
    const backendName = tf.getBackend();
    for (const config of tf.getKernelsForBackend(backendName)) {
      tf.unregisterKernel(config.kernelName, backendName);
      tf.registerKernel({ ...config, kernelFunc: (params) => this.time(config, params) });
    }
  }

  reset(): void {
    this.entries.clear();
  }

  /** Lines of a Markdown table, slowest first. @param runs over which the times are averaged. */
  table(runs: number, totalMs: number): string {
    const sorted = [...this.entries].sort((a, b) => b[1].milliseconds - a[1].milliseconds);
    const inKernels = sorted.reduce((sum, [, { milliseconds }]) => sum + milliseconds, 0);
    const line = (key: string, calls: number | string, milliseconds: number) =>
      `| ${key} | ${calls} | ${(milliseconds / runs).toFixed(2)} | ${((milliseconds / totalMs) * 100).toFixed(1)} % |`;
    const byName = new Map<string, Entry>();
    for (const [key, entry] of sorted) add(byName, key.split(' ')[0]!, entry);
    const names = [...byName].sort((a, b) => b[1].milliseconds - a[1].milliseconds);
    return [
      '| Kernel | calls | ms per run | of the run |',
      '| --- | ---: | ---: | ---: |',
      ...names.map(([name, { calls, milliseconds }]) => line(name, calls / runs, milliseconds)),
      line('outside of kernels', '', totalMs - inKernels),
      '',
      '| Kernel and shapes | calls | ms per run | of the run |',
      '| --- | ---: | ---: | ---: |',
      ...sorted.slice(0, 60).map(([key, entry]) => line(key, entry.calls / runs, entry.milliseconds)),
    ].join('\n');
  }

  private time(config: tf.KernelConfig, params: Parameters<tf.KernelFunc>[0]): ReturnType<tf.KernelFunc> {
    const outerMs = this.nestedMs;
    this.nestedMs = 0;
    const startedAt = performance.now();
    const outputs = config.kernelFunc(params);
    const elapsed = performance.now() - startedAt;
    const inputs = Object.values(params.inputs)
      .flat()
      .map((input) => (input ? `[${input.shape.join()}]` : '-'));
    const results = [outputs].flat().map(({ shape }) => `[${shape.join()}]`);
    const key = `${config.kernelName} ${inputs.join(' ')} -> ${results.join(' ')}`;
    add(this.entries, key, { calls: 1, milliseconds: elapsed - this.nestedMs });
    this.nestedMs = outerMs + elapsed;
    return outputs;
  }
}

function add(entries: Map<string, Entry>, key: string, { calls, milliseconds }: Entry): void {
  const entry = entries.get(key) ?? { calls: 0, milliseconds: 0 };
  entries.set(key, { calls: entry.calls + calls, milliseconds: entry.milliseconds + milliseconds });
}
