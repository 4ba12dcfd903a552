export type { EngineNeeds } from './engine.js';
export { ENGINE_NAMES, type EngineName, selectEngine } from './select.js';
