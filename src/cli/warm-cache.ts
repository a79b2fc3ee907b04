// Fills Node's compile cache (NODE_COMPILE_CACHE) with what `web` and `worker` load, for an image whose root file system is read-only.
await Promise.all([import('./web.ts'), import('./worker.ts')]);
