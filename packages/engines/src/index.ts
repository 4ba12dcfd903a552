export type { EngineNeeds, EngineSettings } from './engine.js';
export { type OnnxSettings, startOnnxRuntime } from './onnxruntime/index.js';
export { isOutOfMemory } from './out-of-memory.js';
export { ENGINE_NAMES, type EngineName, prefixCompilerOf, selectEngine } from './select.js';
