import { z } from 'zod';

/**
 * Every error code the service can answer with, and what each one means to machines.
 *
 * `status` is the HTTP status when the API answers with the code, and the status inside a failed job's problem.
 * `retryable` says whether the same job may succeed if it is tried again without a change by the client: outages are,
 * bad input is not. The queue uses it to choose between another attempt and a final failure.
 */
export const ERRORS = {
  invalid_request: { status: 400, retryable: false, title: 'The request is not valid' },
  unknown_layer: { status: 400, retryable: false, title: 'There is no layer of that name' },
  freeze_conflict: { status: 400, retryable: false, title: 'That choice contradicts the scenario' },
  unauthorized: { status: 401, retryable: false, title: 'The request needs a valid key' },
  role_forbidden: { status: 403, retryable: false, title: 'The key may not do that' },
  uri_forbidden: { status: 403, retryable: false, title: 'That location is not allowed' },
  route_not_found: { status: 404, retryable: false, title: 'There is no such route' },
  job_not_found: { status: 404, retryable: false, title: 'There is no such job' },
  webhook_not_found: { status: 404, retryable: false, title: 'There is no such webhook' },
  delivery_not_found: { status: 404, retryable: false, title: 'There is no such delivery' },
  method_not_allowed: { status: 405, retryable: false, title: 'The route does not have that method' },
  request_timeout: { status: 408, retryable: true, title: 'The request took too long to arrive' },
  job_not_ended: { status: 409, retryable: false, title: 'The job has not ended yet' },
  job_ended: { status: 409, retryable: false, title: 'The job has already ended' },
  job_not_running: { status: 409, retryable: false, title: 'The job is not running' },
  webhook_limit: { status: 409, retryable: false, title: 'There are as many webhooks as there may be' },
  webhook_disabled: { status: 409, retryable: false, title: 'The webhook is disabled' },
  idempotency_conflict: { status: 409, retryable: false, title: 'The key was used for another request' },
  job_gone: { status: 410, retryable: false, title: 'The job is no longer kept' },
  payload_too_large: { status: 413, retryable: false, title: 'The request body is too large' },
  range_not_satisfiable: { status: 416, retryable: false, title: 'The file does not have those bytes' },
  unsupported_media_type: { status: 415, retryable: false, title: 'The request body must be JSON' },
  rate_limited: { status: 429, retryable: true, title: 'Too many requests' },
  quota_exceeded: { status: 429, retryable: true, title: 'The tenant has as many queued jobs as it may' },
  headers_too_large: { status: 431, retryable: false, title: "The request's headers are too large" },
  dataset_not_found: { status: 422, retryable: false, title: 'There is no data set there' },
  dataset_invalid: { status: 422, retryable: false, title: 'The data set cannot be trained on' },
  archive_unsafe: { status: 422, retryable: false, title: 'The archive was refused' },
  weights_unavailable: { status: 422, retryable: false, title: 'The weights cannot be had' },
  weights_invalid: { status: 422, retryable: false, title: 'The weights do not fit the model' },
  engine_unavailable: { status: 422, retryable: false, title: 'The engine does not load on this worker' },
  engine_cannot_train: { status: 422, retryable: false, title: 'The engine cannot train these layers' },
  diverged: { status: 422, retryable: false, title: 'Training diverged' },
  timed_out: { status: 422, retryable: false, title: 'The job ran out of time' },
  canceled: { status: 409, retryable: false, title: 'The job was canceled' },
  disk_full: { status: 507, retryable: false, title: 'The disk is full' },
  out_of_memory: { status: 507, retryable: false, title: 'The device ran out of memory' },
  storage_forbidden: { status: 403, retryable: false, title: 'The object store refused the credentials' },
  storage_not_found: { status: 404, retryable: false, title: 'The object store has no such object' },
  storage_unavailable: { status: 503, retryable: true, title: 'The object store does not answer' },
  job_unreadable: { status: 503, retryable: true, title: 'The job is of a newer release' },
  queue_unavailable: { status: 503, retryable: true, title: 'Redis does not answer' },
  worker_lost: { status: 500, retryable: false, title: 'The workers that ran the job were lost' },
  trainer_crashed: { status: 500, retryable: true, title: 'The trainer process ended unexpectedly' },
  trainer_stalled: { status: 500, retryable: true, title: 'The trainer process made no progress' },
  internal_error: { status: 500, retryable: true, title: 'Something went wrong in the service' },
} as const satisfies Record<string, { status: number; retryable: boolean; title: string }>;

export type ErrorCode = keyof typeof ERRORS;
export const ErrorCode = z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]);

/** One thing that is wrong with an input: which field, what came, what may come. */
export const FieldError = z.object({
  field: z.string().meta({ description: 'Path of the field, for example `training.optimizer.type`.' }),
  message: z.string(),
  received: z.unknown().optional(),
  allowed: z.unknown().optional(),
});
export type FieldError = z.infer<typeof FieldError>;

/** The error of a job that failed, and the core of every problem the API answers with. */
export const JobError = z
  .object({
    code: ErrorCode,
    title: z.string(),
    detail: z.string().meta({ description: 'What happened, what was received, and what to do next.' }),
    retryable: z.boolean(),
    errors: z.array(FieldError).optional(),
    details: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: 'JobError' });
export type JobError = z.infer<typeof JobError>;

/** Problem details for HTTP APIs, RFC 9457, media type `application/problem+json`. */
export const Problem = z
  .object({
    type: z
      .string()
      .meta({ description: 'URN that ends in the code.', examples: ['urn:headstart:error:unknown_layer'] }),
    status: z.int(),
    instance: z
      .string()
      .optional()
      .meta({ description: 'The path that was asked for; absent where the request could not be read.' }),
    requestId: z.string(),
    ...JobError.shape,
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof Problem>;

export interface AppErrorOptions {
  errors?: FieldError[];
  details?: Record<string, unknown>;
  cause?: unknown;
  /** Overrides the code's own answer, for example for a crash that a retry cannot mend. */
  retryable?: boolean;
}

/** The one error class of the project: a stable code, and a message for a person. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly errors: FieldError[] | undefined;
  readonly details: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.retryable = options.retryable ?? ERRORS[code].retryable;
    this.errors = options.errors;
    this.details = options.details;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  toJobError(): JobError {
    return {
      code: this.code,
      title: ERRORS[this.code].title,
      detail: this.message,
      retryable: this.retryable,
      ...(this.errors && { errors: this.errors }),
      ...(this.details && { details: this.details }),
    };
  }

  static fromJobError(error: JobError): AppError {
    const { errors, details, retryable } = error;
    return new AppError(error.code, error.detail, {
      retryable,
      ...(errors && { errors }),
      ...(details && { details }),
    });
  }

  /** Wraps anything thrown. A full disk is the one system error that has a code of its own wherever it happens. */
  static from(error: unknown): AppError {
    if (error instanceof AppError) return error;
    const cause = error as NodeJS.ErrnoException | undefined;
    if (cause?.code === 'ENOSPC' || cause?.code === 'EDQUOT') {
      return new AppError(
        'disk_full',
        `There is no space left for ${cause.path ?? 'a file of this job'}. Free some, or give the worker a larger disk, and post the job again.`,
        { cause: error },
      );
    }
    return new AppError('internal_error', error instanceof Error ? error.message : String(error), {
      cause: error,
    });
  }
}

/** The error of every job that was canceled, before or while it ran. */
export function canceledError(): AppError {
  return new AppError('canceled', 'The job was canceled. Post it again to run it.');
}
