export { DEFAULT_PRIORITY } from './defaults.js';
export { type PlanContext, resolvePlan } from './resolve.js';
