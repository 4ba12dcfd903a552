import type { ListQuery } from '@headstart/contracts';
import type { JobsPage } from '@headstart/queue';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { FoundJob } from './queue.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** @throws AppError('job_not_found') where the caller's tenant has no such job, whether another has it or not. */
    findOwnJob(request: FastifyRequest, id: string): Promise<FoundJob>;
    /** A page of the jobs of the caller's tenant. */
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
    app.decorate('findOwnJob', ({ caller }: FastifyRequest, id: string) => app.jobs.find(id, caller.tenant));
    app.decorate(
      'listOwnJobs',
      ({ caller }: FastifyRequest, query: Omit<ListQuery, 'cursor'>, cursor: string | null) =>
        app.jobs.list(caller.tenant, query, cursor),
    );
  },
  { name: 'own-jobs', dependencies: ['callers', 'queue'] },
);
