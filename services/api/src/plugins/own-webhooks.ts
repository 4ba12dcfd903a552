import {
  AppError,
  type DeliveryQuery,
  type WebhookDeliveryList,
  type WebhookEndpointChange,
  type WebhookEndpointRequest,
} from '@headstart/contracts';
import {
  createEndpoint,
  getEndpoint,
  listDeliveries,
  listEndpoints,
  removeEndpoint,
  replayWebhook,
  rotateSecret,
  type StoredEndpoint,
  updateEndpoint,
} from '@headstart/queue';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

/** The webhook endpoints of a request's tenant; another tenant's are not there. Everything rejects with `queue_unavailable` as jobs do. */
export interface OwnWebhooks {
  /** @throws AppError('webhook_limit') */
  create(request: WebhookEndpointRequest): Promise<StoredEndpoint>;
  list(): Promise<StoredEndpoint[]>;
  /** @throws AppError('webhook_not_found'), as all below. */
  get(id: string): Promise<StoredEndpoint>;
  update(id: string, change: WebhookEndpointChange): Promise<StoredEndpoint>;
  remove(id: string): Promise<void>;
  rotateSecret(id: string): Promise<StoredEndpoint>;
  deliveries(id: string, query: DeliveryQuery): Promise<WebhookDeliveryList>;
  /** @throws AppError('webhook_disabled'), AppError('delivery_not_found') */
  replay(id: string, webhookId: string): Promise<void>;
}

declare module 'fastify' {
  interface FastifyInstance {
    ownWebhooks(request: FastifyRequest): OwnWebhooks;
  }
}

/** The one place that decides which endpoints a request may see. */
export const ownWebhooksPlugin = fp(
  async (app) => {
    app.decorate('ownWebhooks', ({ caller: { tenant } }: FastifyRequest): OwnWebhooks => ({
      create: (request) => app.askQueue((parts) => createEndpoint(parts, tenant, request)),
      list: () => app.askQueue((parts) => listEndpoints(parts, tenant)),
      get: (id) => app.askQueue((parts) => getEndpoint(parts, tenant, id)),
      update: (id, change) =>
        app.askQueue((parts) =>
          updateEndpoint(parts, tenant, id, () => ({
            ...change,
            ...(change.enabled !== undefined && { disabledReason: null }),
          })),
        ),
      remove: (id) => app.askQueue((parts) => removeEndpoint(parts, tenant, id)),
      rotateSecret: (id) => app.askQueue((parts) => rotateSecret(parts, tenant, id)),
      deliveries: (id, query) =>
        app.askQueue(async (parts) => {
          await getEndpoint(parts, tenant, id);
          return listDeliveries(parts, id, query);
        }),
      replay: (id, webhookId) =>
        app.askQueue(async (parts) => {
          if (!(await getEndpoint(parts, tenant, id)).enabled)
            throw new AppError('webhook_disabled', `Webhook ${id} is disabled. Enable it, then replay.`);
          await replayWebhook(parts.webhooks, id, webhookId);
        }),
    }));
  },
  { name: 'own-webhooks', dependencies: ['callers', 'queue'] },
);
