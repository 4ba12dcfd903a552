import { z } from 'zod';
import { Job, JobStatus } from './job.js';
import { Scenario } from './job-request.js';

/** A query parameter that may be there several times: a list in code, whether it came once or more often. */
function oneOrMore<T extends z.ZodType>(one: T) {
  return z.preprocess((value) => [value].flat(), z.array(one).min(1).max(16));
}

const MetadataFilter = z
  .string()
  .regex(/^[^=]+=/, 'must be name=value')
  .transform((pair): [name: string, value: string] => {
    const at = pair.indexOf('=');
    return [pair.slice(0, at), pair.slice(at + 1)];
  });

/** How much of a list an answer has. @param what it has, as the beginning of a sentence. */
export const pageLimit = (what: string) =>
  z.coerce
    .number()
    .int()
    .min(1)
    .max(100)
    .default(20)
    .meta({ description: `${what} of a page, at most.` });

/** The query of `GET /jobs`. */
export const ListQuery = z.strictObject({
  limit: pageLimit('Jobs'),
  cursor: z
    .string()
    .regex(/^\d{13}:[0-9a-f-]{36}$/, 'must be `nextCursor` of an earlier answer')
    .optional()
    .meta({ description: '`nextCursor` of the page before.' }),
  status: oneOrMore(JobStatus)
    .optional()
    .meta({ description: 'Only jobs of this status, or of one of these.' }),
  scenario: oneOrMore(Scenario)
    .optional()
    .meta({ description: 'Only jobs of this scenario, or of one of these.' }),
  metadata: oneOrMore(MetadataFilter).optional().meta({
    description: 'Only jobs with this entry, `name=value`, in their metadata; with all of these.',
  }),
});
export type ListQuery = z.infer<typeof ListQuery>;

/** A job in a list: what is long of it, request, plan and epochs, `GET /jobs/:id` has. */
export const JobSummary = Job.omit({ request: true, plan: true, versions: true, metrics: true })
  .extend({
    scenario: Scenario,
    datasetUri: z.string(),
    metrics: Job.shape.metrics.element
      .nullable()
      .meta({ description: 'Of the last epoch; null if none ended.' }),
  })
  .meta({ id: 'JobSummary' });
export type JobSummary = z.infer<typeof JobSummary>;

/** What `GET /jobs` answers. */
export const JobList = z
  .object({
    jobs: z.array(JobSummary).meta({ description: 'Newest first.' }),
    nextCursor: z.string().nullable().meta({
      description:
        'Where the next page begins; null on the last. A page may be short, or empty, and not be the last.',
    }),
  })
  .meta({ id: 'JobList' });
export type JobList = z.infer<typeof JobList>;

export function summarize(job: Job): JobSummary {
  const { request, metrics } = job;
  // The schema drops what is long.
  return JobSummary.parse({
    ...job,
    scenario: request.scenario,
    datasetUri: request.datasetUri,
    metrics: metrics.at(-1) ?? null,
  });
}
