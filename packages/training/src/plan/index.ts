export { type PlanContext, resolvePlan } from './resolve.js';
