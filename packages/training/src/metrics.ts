import type { ConfusionMatrix, EpochMetrics } from '@headstart/contracts';

/**
 * Confusion matrix with precision, recall and F1 per class. A ratio with nothing below it is 0.
 * @param labels and @param predictions class indices, one per picture.
 */
export function confusionMatrix(
  classes: string[],
  labels: readonly number[],
  predictions: readonly number[],
): ConfusionMatrix {
  const matrix = classes.map(() => classes.map(() => 0));
  labels.forEach((label, i) => matrix[label]![predictions[i]!]!++);
  const ratio = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);
  const perClass = classes.map((name, index) => {
    const correct = matrix[index]![index]!;
    const support = matrix[index]!.reduce((sum, count) => sum + count, 0);
    const predicted = matrix.reduce((sum, row) => sum + row[index]!, 0);
    const precision = ratio(correct, predicted);
    const recall = ratio(correct, support);
    return { class: name, support, precision, recall, f1: ratio(2 * precision * recall, precision + recall) };
  });
  const correct = matrix.reduce((sum, row, index) => sum + row[index]!, 0);
  return { classes, matrix, accuracy: ratio(correct, labels.length), perClass };
}

const COLUMNS = [
  'epoch',
  'stage',
  'loss',
  'accuracy',
  'valLoss',
  'valAccuracy',
  'learningRate',
  'seconds',
  'picturesPerSecond',
] as const satisfies (keyof EpochMetrics)[];

/** metrics.csv: one row an epoch, the same names as in metrics.jsonl. */
export function metricsCsv(metrics: readonly EpochMetrics[]): string {
  const rows = metrics.map((epoch) => COLUMNS.map((column) => epoch[column]).join(','));
  return [COLUMNS.join(','), ...rows, ''].join('\n');
}

/** One JSON object a line. In pieces, as the next: what stands in all of them may be longer than a string can be. */
export function* jsonLines(values: Iterable<unknown>): Generator<string> {
  for (const value of values) yield `${JSON.stringify(value)}\n`;
}

/** confusion-matrix.json, a line for every row of the matrix. */
export function* confusionMatrixJson({ matrix, ...rest }: ConfusionMatrix): Generator<string> {
  yield `${JSON.stringify(rest, null, 2).slice(0, -2)},\n  "matrix": [\n`;
  for (const [index, row] of matrix.entries())
    yield `    ${JSON.stringify(row)}${index < matrix.length - 1 ? ',' : ''}\n`;
  yield '  ]\n}\n';
}
