export {
  type ClientOptions,
  HeadstartClient,
  type JobFilter,
  type SubmitOptions,
  type WaitOptions,
} from './client.js';
