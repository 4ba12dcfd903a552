import { AppError, type ErrorCode } from '@headstart/contracts';

const NOT_FOUND = ['NoSuchKey', 'NotFound'];
const FORBIDDEN = [
  'AccessDenied',
  'AccountProblem',
  'CredentialsProviderError',
  'ExpiredToken',
  'Forbidden',
  'InvalidAccessKeyId',
  'InvalidToken',
  'SignatureDoesNotMatch',
  'TokenProviderError',
  // VersityGW's word for an unknown access key, which it sends with status 404.
  'XAdminUserNotFound',
];
const SLOW_DOWN = ['RequestTimeout', 'SlowDown', 'ThrottlingException', 'TooManyRequests'];

interface SdkError {
  name?: string;
  message?: string;
  code?: string;
  $metadata?: { httpStatusCode?: number };
}

/** HTTP status that the server answered with; undefined if no answer came. */
export function s3Status(error: unknown): number | undefined {
  return (error as SdkError | undefined)?.$metadata?.httpStatusCode;
}

/** The one place that says what an error of the AWS SDK means for the object or folder at `uri`. */
export function s3Error(error: unknown, uri: string): AppError {
  const known = AppError.from(error);
  if (known.code !== 'internal_error' || error === known) return known;
  const { name = '', message = '', code = '' } = error as SdkError;
  const status = s3Status(error);
  // The answer to a HEAD has no body that could say more, which the SDK calls "Unknown: UnknownError".
  const said =
    name === 'Unknown' && status !== undefined
      ? `status ${status}`
      : [name, message || code].filter((part) => part !== '').join(': ');
  const as = (appCode: ErrorCode, text: string, retryable?: boolean) =>
    new AppError(appCode, text, { cause: error, ...(retryable !== undefined && { retryable }) });

  if (FORBIDDEN.includes(name) || status === 401 || status === 403)
    return as(
      'storage_forbidden',
      `The object store refused ${uri} (${said}). Check the service's S3 credentials and what they may do there.`,
    );
  if (name === 'NoSuchBucket')
    return as('storage_not_found', `The bucket of ${uri} does not exist. Check its name.`);
  if (NOT_FOUND.includes(name) || status === 404)
    return as('storage_not_found', `${uri} does not exist. Check the bucket and the key.`);
  if (status === undefined || status >= 500 || status === 429 || SLOW_DOWN.includes(name))
    return as(
      'storage_unavailable',
      `The object store does not answer for ${uri} (${said}). Try again.`,
      status !== 501,
    );
  return as(
    'storage_unavailable',
    `The object store refused the request for ${uri} with status ${status} (${said}). Check endpoint, region and bucket.`,
    false,
  );
}
