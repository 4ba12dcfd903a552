export { HeadstartClient, type JobFilter, type WaitOptions } from './client.js';
