import { type Plan, printableUri, type Runtime } from '@headstart/contracts';
import type { TrainedRun } from '@headstart/training';
import type { Assignment } from '../trainer-protocol.js';

/** job.json: what was asked for, what was made of it, and how it came out. */
export function jobRecord(
  { jobId, request, attempt }: Assignment,
  plan: Plan,
  run: TrainedRun,
  runtime: Runtime,
) {
  return {
    id: jobId,
    request: withoutQueries(request),
    plan: withoutQueries(plan),
    attempts: attempt,
    runtime,
    epochs: run.metrics.length,
    exportedEpoch: run.exportedEpoch,
    metrics: run.metrics.find(({ epoch }) => epoch === run.exportedEpoch) ?? null,
  };
}

const URI_FIELDS = ['datasetUri', 'weights', 'uri', 'url'];

/** A copy for a file that is kept: the query of a URL may hold a signature. */
function withoutQueries<T>(value: T): T {
  const print = (field: string, held: unknown) =>
    URI_FIELDS.includes(field) && typeof held === 'string' ? printableUri(held) : held;
  return JSON.parse(JSON.stringify(value, print)) as T;
}
