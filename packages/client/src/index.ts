export type { ArtifactDownload, ArtifactOptions } from './artifacts.js';
export {
  type ClientOptions,
  HeadstartClient,
  type JobFilter,
  type SubmitOptions,
  type WaitOptions,
} from './client.js';
export type { FollowedEvent, FollowOptions } from './follow-job.js';
export type { CallOptions } from './transport.js';
