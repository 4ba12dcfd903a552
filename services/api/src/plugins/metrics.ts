import { QUEUE_STATES, type QueueDepths } from '@headstart/queue';
import fp from 'fastify-plugin';
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export interface MetricsPort {
  /** The media type of what `render` gives. */
  contentType: string;
  /** All metrics in Prometheus' text format. @param depths null where Redis does not answer: what it knows is left out. */
  render(depths: QueueDepths | null): Promise<string>;
}

declare module 'fastify' {
  interface FastifyInstance {
    metrics: MetricsPort;
  }
}

/** Measures every request, and shows the queue; each app has a registry of its own. */
export const metricsPlugin = fp(
  async (app) => {
    const registry = new Registry();
    const registers = [registry];
    collectDefaultMetrics({ register: registry });

    const requests = new Histogram({
      name: 'headstart_http_request_duration_seconds',
      help: 'Time from the request line to the end of the answer, by route as openapi.yaml has it.',
      labelNames: ['method', 'route', 'status'],
      registers,
    });
    app.addHook('onResponse', async (request, reply) => {
      // A path that is no route would be a label of the client's making.
      const route = request.routeOptions.url ?? 'none';
      requests.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000);
    });

    const queueUp = new Gauge({
      name: 'headstart_queue_up',
      help: '1 where Redis answers, else 0, and the metrics of the queues are left out.',
      registers,
    });
    const depth = new Gauge({
      name: 'headstart_queue_depth',
      help: 'Entries of a queue (jobs, webhooks) by state. Ended ones count for as long as they are kept; a failed webhook was given up.',
      labelNames: ['queue', 'state'],
      registers,
    });
    const oldest = new Gauge({
      name: 'headstart_queue_oldest_waiting_seconds',
      help: 'Since it was posted, of the job that has waited longest of those next in their priority; 0 where none waits.',
      registers,
    });

    app.decorate('metrics', {
      contentType: registry.contentType,
      async render(depths) {
        queueUp.set(depths ? 1 : 0);
        depth.reset();
        oldest.remove();
        if (depths) {
          for (const queue of ['jobs', 'webhooks'] as const)
            for (const state of QUEUE_STATES) depth.set({ queue, state }, depths[queue][state]);
          const { oldestWaitingAtMs } = depths;
          oldest.set(oldestWaitingAtMs === null ? 0 : Math.max(0, Date.now() - oldestWaitingAtMs) / 1000);
        }
        return registry.metrics();
      },
    });
  },
  { name: 'metrics' },
);
