export { type AppDeps, buildApp } from './app.js';
export { type ApiConfig, readConfig } from './config.js';
export { buildDocument, renderDocument } from './openapi/document.js';
