/** The samples of a text in Prometheus' format: `name{label="value"}` as it stands there, and its value. */
export function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, value] = /^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    if (name === undefined || value === undefined || samples.has(name))
      throw new Error(`Not a sample: ${line}`);
    samples.set(name, value === '+Inf' ? Infinity : Number(value));
  }
  return samples;
}
