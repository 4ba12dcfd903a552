export { NetworkList, storageConfig, storageConfigShape, type StorageConfig } from './config.js';
export { downloadTo, type DownloadOptions } from './download.js';
export { createUrlGuard, type ResolveAll, type UrlGuard } from './guarded-request.js';
export { hashFile, type FileDigest } from './hash.js';
export { createStores, type Stores } from './stores.js';
export { isBelowAny, isUriPrefix, outsidePrefixes } from './uri-prefixes.js';
