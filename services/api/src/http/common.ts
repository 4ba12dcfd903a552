import { z } from 'zod';

/** Of a route that takes no query: an unknown parameter is refused, as everywhere. */
export const NoQuery = z.strictObject({});

export const JobParams = z.object({
  id: z.string().meta({
    description: 'Id of the job, from the answer to POST /jobs.',
    examples: ['0b0e4f3c-5f0a-4c8e-9a52-5d1a3f0f6f6e'],
  }),
});
