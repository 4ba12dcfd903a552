export { HeadstartClient, type WaitOptions } from './client.js';
