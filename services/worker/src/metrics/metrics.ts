import type { DeliveryResult, ErrorCode, FeatureUse, Phase, Progress } from '@headstart/contracts';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export interface WorkerMetrics {
  registry: Registry;
  attemptStarted(): AttemptMetrics;
  webhookSent(result: DeliveryResult): void;
}

/** Of one attempt of a job, from its start to its end. */
export interface AttemptMetrics {
  progress(progress: Progress): void;
  features(use: FeatureUse): void;
  ended(ending: string, code: ErrorCode | null): void;
}

/** From a second to a day. */
const PHASE_BUCKETS = [1, 5, 15, 60, 300, 900, 3600, 14_400, 43_200, 86_400];

export function createMetrics(): WorkerMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const attempts = new Counter({
    name: 'headstart_attempts_total',
    help: 'Attempts of jobs by how they ended: done, failed (with the code of the error), interrupted (given back at a shutdown), abandoned or superseded (another worker has the job).',
    labelNames: ['ending', 'code'],
    registers,
  });
  const phases = new Histogram({
    name: 'headstart_phase_seconds',
    help: 'How long attempts were in a phase, to its end or to that of the attempt.',
    labelNames: ['phase'],
    buckets: PHASE_BUCKETS,
    registers,
  });
  const pace = new Gauge({
    name: 'headstart_pictures_per_second',
    help: 'Of the running phase, on average since it began; absent where no pictures are being worked on.',
    labelNames: ['phase'],
    registers,
  });
  const features = new Counter({
    name: 'headstart_feature_cache_pictures_total',
    help: 'Pictures whose features were in the cache (hit), or were computed (miss).',
    labelNames: ['result'],
    registers,
  });
  const webhooks = new Counter({
    name: 'headstart_webhook_deliveries_total',
    help: 'Tries to deliver a webhook: delivered, failed (and tried again), given_up.',
    labelNames: ['result'],
    registers,
  });

  return {
    registry,
    attemptStarted() {
      let phase: { name: Phase; startedAtMs: number } | null = null;
      const endPhase = () => {
        if (phase) phases.observe({ phase: phase.name }, (performance.now() - phase.startedAtMs) / 1000);
        pace.reset();
      };
      return {
        progress(progress) {
          if (progress.phase !== phase?.name) {
            endPhase();
            phase = { name: progress.phase, startedAtMs: performance.now() };
          }
          const { picturesPerSecond } = progress;
          if (picturesPerSecond !== null) pace.set({ phase: phase.name }, picturesPerSecond);
        },
        features({ hits, misses }) {
          features.inc({ result: 'hit' }, hits);
          features.inc({ result: 'miss' }, misses);
        },
        ended(ending, code) {
          endPhase();
          attempts.inc({ ending, code: code ?? '' });
        },
      };
    },
    webhookSent: (result) => webhooks.inc({ result }),
  };
}
