import { createHmac } from 'node:crypto';

/**
 * The key inside a `whsec_` secret.
 * @returns null where the secret is not `whsec_` and the base64 of 24 to 64 bytes.
 */
export function decodeSecret(secret: string): Buffer | null {
  const base64 = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1];
  if (base64 === undefined) return null;
  const key = Buffer.from(base64, 'base64');
  return key.length >= 24 && key.length <= 64 ? key : null;
}

export interface SignedHeaders {
  'webhook-id': string;
  'webhook-timestamp': string;
  'webhook-signature': string;
}

/**
 * Signs a webhook as Standard Webhooks 1.0.0 says: HMAC-SHA256 over `{id}.{timestamp}.{body}`.
 * @param id without a full stop, which separates the signed parts.
 * @param secret as `decodeSecret` accepts it.
 */
export function signedHeaders(id: string, body: string, secret: string, now: Date): SignedHeaders {
  const key = decodeSecret(secret);
  if (!key) throw new Error('The webhook secret is not whsec_ and the base64 of 24 to 64 bytes.');
  const timestamp = String(Math.floor(now.getTime() / 1000));
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}
