import { AppError, type Phase } from '@headstart/contracts';
import type { Logger } from 'pino';
import type { AttemptMetrics } from '../metrics/metrics.js';
import type { JobWriter } from './job-writer.js';
import type { TrainerReport } from './run-trainer.js';

/** The latest of a job's warnings that its record keeps. */
const MAX_WARNINGS = 20;
const NOT_UP = 'a checkpoint is not in the object store yet';

interface Sinks {
  logger: Logger;
  metrics: AttemptMetrics;
}

/** Hands on what a trainer reports: into the record, to those who listen, and into the worker's metrics. */
export function createReporter(writer: JobWriter, sinks: Sinks): (report: TrainerReport) => void {
  let phase: Phase | null = null;
  /** Code of what the job's log has of uploads that fail: one line for an outage, whatever of the store it keeps from. */
  let failing: string | null = null;
  return (report) => {
    if (report.type === 'progress' && report.progress.phase !== phase) {
      phase = report.progress.phase;
      writer.event({ type: 'phase', phase });
    }
    if (report.type === 'checkpoint') failing = null;
    if (report.type === 'checkpointError' && report.error.code !== failing) {
      failing = report.error.code;
      const { code, detail } = report.error;
      writer.event({ type: 'log', level: 'warn', message: NOT_UP, fields: { code, detail } });
    }
    write(writer, report, sinks);
  };
}

function write(writer: JobWriter, report: TrainerReport, { logger, metrics }: Sinks): void {
  switch (report.type) {
    case 'progress':
      metrics.progress(report.progress);
      return writer.progress(report.progress);
    case 'log':
      return writer.event(report);
    case 'runtime':
      return writer.update(() => ({ runtime: report.runtime }));
    case 'plan':
      return writer.update(() => ({ plan: report.plan }));
    case 'features':
      return metrics.features(report.use);
    case 'checkpoint':
      return writer.update(() => ({ checkpoint: report.checkpoint, checkpointError: null }));
    case 'checkpointError':
      logger.warn({ err: AppError.fromJobError(report.error) }, NOT_UP);
      return writer.update(() => ({ checkpointError: report.error }));
    case 'warning':
      logger.warn(report.message);
      writer.event({ type: 'log', level: 'warn', message: report.message, fields: {} });
      // An attempt behind this one may find the same again.
      return writer.update(({ warnings = [] }) => ({
        warnings: [...new Set([...warnings, report.message])].slice(-MAX_WARNINGS),
      }));
    case 'artifacts':
      return writer.update(() => ({ artifacts: report.artifacts }));
    case 'history':
      return writer.update(() => ({ metrics: report.metrics }));
    case 'epoch':
      writer.event(report);
      // An attempt that was lost may have reported the same epoch before.
      return writer.update(({ metrics }) => ({
        metrics: [...metrics.filter(({ epoch }) => epoch < report.metrics.epoch), report.metrics],
      }));
  }
}
