import { z } from 'zod';

const CONTENT_TYPES: Record<string, string> = {
  json: 'application/json',
  jsonl: 'application/jsonl',
  csv: 'text/csv; charset=utf-8',
  svg: 'image/svg+xml',
};

/** Media type of a job's file by its ending. */
export function contentTypeOf(path: string): string {
  return CONTENT_TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
}

/** What `GET /jobs/:id/artifacts` answers: every file in the job's folder, the manifest being the last to come. */
export const ArtifactList = z
  .object({
    artifacts: z.array(
      z.object({
        path: z.string().meta({ description: "Below the job's folder.", examples: ['model/model.json'] }),
        sizeBytes: z.int(),
        contentType: z.string(),
        url: z.string().meta({
          description:
            'Where to GET it: a path of this API, or a URL that needs no credentials until `expiresAt`.',
        }),
        expiresAt: z.iso.datetime().nullable().meta({ description: 'Null for a path of this API.' }),
      }),
    ),
  })
  .meta({ id: 'ArtifactList' });
export type ArtifactList = z.infer<typeof ArtifactList>;
