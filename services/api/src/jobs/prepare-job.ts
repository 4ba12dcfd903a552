import {
  AppError,
  isArchiveUri,
  type Job,
  type JobRequest,
  type ObjectStores,
  type Plan,
} from '@headstart/contracts';
import { listClasses } from '@headstart/dataset';
import { createUrlGuard } from '@headstart/storage';
import { resolvePlan } from '@headstart/training/plan';
import type { FastifyBaseLogger } from 'fastify';
import type { Caller } from '../callers/caller.js';
import { allowedUris, checkUri, defaultOutputUri } from '../callers/uris.js';
import { type ApiConfig, withSlash } from '../config.js';
import { askStore } from './ask-store.js';

/** How long a post waits for the classes, which the worker can look for as well. */
const PEEK_WITHIN_MS = 5000;

export interface PrepareContext {
  config: ApiConfig;
  stores: ObjectStores;
  caller: Caller;
  /** Finds a job that the client may use. @throws AppError('job_not_found') */
  findJob(id: string): Promise<Job>;
  log: FastifyBaseLogger;
}

export interface JobLocations {
  /** Folder below which the job makes its own, with a slash at its end. */
  outputBaseUri: string;
  /** What else it may use, with all that is below; null where there is no limit. */
  uriPrefixes: string[] | null;
}

export interface PreparedJob extends JobLocations {
  plan: Plan;
  jobModelUri: string | null;
}

/**
 * Everything that is checked before a job is queued: locations, weights, classes, and whether they make a plan.
 * @throws AppError whose code POST /jobs documents.
 */
export async function prepareJob(request: JobRequest, context: PrepareContext): Promise<PreparedJob> {
  const locations = checkLocations(request, context);
  const weights = weightsOf(request);

  const jobModelUri = weights.startsWith('job:') ? await findModel(weights, context) : null;
  if (jobModelUri !== null) checkUri('model.weights', jobModelUri, context.caller, context.config);
  // First without the classes: a wrong request is answered before the object store is asked.
  const planContext = jobModelUri === null ? {} : { jobModelUri };
  resolvePlan(request, { ...planContext, classes: null });
  const stores = context.stores.within(locations.uriPrefixes);
  const classes = await peekClasses(request, { ...context, stores });
  return { plan: resolvePlan(request, { ...planContext, classes }), jobModelUri, ...locations };
}

/**
 * Checks that the deployment and the caller's key let a job use what its request names. Asks nothing of the stores: where links lead to
 * is looked at whenever something is used.
 */
export function checkLocations(
  request: JobRequest,
  { config, stores, caller }: Pick<PrepareContext, 'config' | 'stores' | 'caller'>,
): JobLocations {
  if (request.webhook) {
    if (!config.signsWebhooks) throw webhooksUnavailable(request.webhook.url);
    createUrlGuard(config.storage.allowedNetworks).check(new URL(request.webhook.url));
  }
  const weights = weightsOf(request);
  checkUri('datasetUri', request.datasetUri, caller, config);
  if (weights.includes('://')) checkUri('model.weights', weights, caller, config);
  if (request.output) checkUri('output.uri', request.output.uri, caller, config);

  const outputBaseUri = request.output ? withSlash(request.output.uri) : defaultOutputUri(caller, config);
  stores.open(outputBaseUri);
  if (isArchiveUri(request.datasetUri)) stores.locate(request.datasetUri);
  else stores.open(withSlash(request.datasetUri));
  if (weights.includes('://')) stores.locate(weights);
  return { outputBaseUri, uriPrefixes: allowedUris(caller, config) };
}

function weightsOf({ model }: JobRequest): string {
  return model?.weights ?? 'imagenet';
}

/** @returns null for an archive, and while the object store does not answer: the worker will look again. */
async function peekClasses(
  { datasetUri, model }: JobRequest,
  { stores, log }: Pick<PrepareContext, 'stores' | 'log'>,
): Promise<string[] | null> {
  try {
    return await askStore(
      datasetUri,
      listClasses(stores, datasetUri, model?.classes ?? null),
      PEEK_WITHIN_MS,
    );
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'storage_unavailable') throw error;
    log.warn({ err: error, datasetUri }, 'the classes are not known yet');
    return null;
  }
}

/** URI of the model.json that an earlier job left. */
async function findModel(weights: string, { findJob }: PrepareContext): Promise<string> {
  const job = await findJob(weights.slice('job:'.length)).catch((error: unknown) => {
    if (error instanceof AppError && error.code === 'job_not_found')
      throw weightsRefused(weights, 'there is no such job');
    throw error;
  });
  if (job.status !== 'succeeded')
    throw weightsRefused(weights, `the job is ${job.status}; it must have succeeded`);
  const uri = job.artifacts?.files.model;
  if (uri === undefined) throw weightsRefused(weights, 'the job has no model');
  return uri;
}

function weightsRefused(weights: string, reason: string): AppError {
  return new AppError(
    'invalid_request',
    `The weights "${weights}" cannot be used: ${reason}. Name a job that succeeded, or the URI of its model.json.`,
    { errors: [{ field: 'model.weights', message: reason, received: weights }] },
  );
}

function webhooksUnavailable(url: string): AppError {
  return new AppError(
    'invalid_request',
    'This deployment has no secret to sign webhooks with. Leave "webhook" out and poll the job, or have WEBHOOK_SECRET set for the API and the worker.',
    { errors: [{ field: 'webhook', message: 'WEBHOOK_SECRET is not configured', received: url }] },
  );
}
