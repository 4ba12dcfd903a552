import type { ListQuery } from '@headstart/contracts';
import type { JobsPage } from '@headstart/queue';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { FoundJob } from './queue.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** @throws AppError('job_not_found') where there is no such job that the client may see. */
    findOwnJob(request: FastifyRequest, id: string): Promise<FoundJob>;
    /** A page of the jobs that the client may see. */
    listOwnJobs(
      request: FastifyRequest,
      query: Omit<ListQuery, 'cursor'>,
      cursor: string | null,
    ): Promise<JobsPage>;
  }
}

/** The one place that decides which jobs a request may see: every route finds and lists them through it. */
export const ownJobsPlugin = fp(
  async (app) => {
    app.decorate('findOwnJob', (_request: FastifyRequest, id: string) => app.jobs.find(id));
    app.decorate(
      'listOwnJobs',
      (_request: FastifyRequest, query: Omit<ListQuery, 'cursor'>, cursor: string | null) =>
        app.jobs.list(query, cursor),
    );
  },
  { name: 'own-jobs', dependencies: ['queue'] },
);
