import { z } from 'zod';

/** What one epoch came to; a line of metrics.jsonl and a row of metrics.csv. */
export const EpochMetrics = z
  .object({
    epoch: z.int().meta({ description: '1-based, over all stages.' }),
    stage: z.enum(['head', 'fine-tune', 'full']),
    loss: z
      .number()
      .meta({ description: 'Mean over the epoch, regularisation included, as Keras reports it.' }),
    accuracy: z.number(),
    valLoss: z.number(),
    valAccuracy: z.number(),
    learningRate: z.number().meta({ description: 'At the last step of the epoch.' }),
    seconds: z.number(),
    picturesPerSecond: z.number(),
  })
  .meta({ id: 'EpochMetrics' });
export type EpochMetrics = z.infer<typeof EpochMetrics>;

export const ClassMetrics = z.object({
  class: z.string(),
  support: z.int().meta({ description: 'Validation pictures of the class.' }),
  precision: z.number(),
  recall: z.number(),
  f1: z.number(),
});

/** confusion-matrix.json: rows are the true classes, columns the predicted ones, over the validation pictures. */
export const ConfusionMatrix = z.object({
  classes: z.array(z.string()),
  matrix: z.array(z.array(z.int())),
  accuracy: z.number(),
  perClass: z.array(ClassMetrics),
});
export type ConfusionMatrix = z.infer<typeof ConfusionMatrix>;

/** A line of predictions.jsonl: what the exported model says of one validation picture. */
export const Prediction = z.object({
  path: z.string(),
  sha256: z.string(),
  class: z.string(),
  predicted: z.string(),
  probabilities: z.array(z.number()).meta({ description: 'In the order of labels.json.' }),
});
export type Prediction = z.infer<typeof Prediction>;
