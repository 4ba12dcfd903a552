/** How long a link to a file in an S3 store is valid. */
export const LINK_SECONDS = 15 * 60;

/** Path of this API for a job's file. */
export function artifactPath(id: string, key: string): string {
  return `/jobs/${id}/artifacts/${key.split('/').map(encodeURIComponent).join('/')}`;
}
