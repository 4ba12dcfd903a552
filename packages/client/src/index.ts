export { HeadstartClient, type JobFilter, type SubmitOptions, type WaitOptions } from './client.js';
