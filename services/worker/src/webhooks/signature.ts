import { createHmac } from 'node:crypto';
import { decodeWebhookSecret } from '@headstart/contracts';

export interface SignedHeaders {
  'webhook-id': string;
  'webhook-timestamp': string;
  'webhook-signature': string;
}

/**
 * Signs a webhook as Standard Webhooks 1.0.0 says: HMAC-SHA256 over `{id}.{timestamp}.{body}`, once for each secret.
 * @param id without a full stop, which separates the signed parts.
 * @param secrets as `decodeWebhookSecret` accepts them.
 */
export function signedHeaders(
  id: string,
  body: string,
  secrets: readonly string[],
  now: Date,
): SignedHeaders {
  const timestamp = String(Math.floor(now.getTime() / 1000));
  const signatures = secrets.map((secret) => {
    const key = decodeWebhookSecret(secret);
    if (!key) throw new Error('A webhook secret is not whsec_ and the base64 of 24 to 64 bytes.');
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  });
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  };
}
