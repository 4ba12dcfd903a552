export {
  type ClientOptions,
  type DeliveryPage,
  HeadstartClient,
  type JobFilter,
  type SubmitOptions,
  type WaitOptions,
} from './client.js';
