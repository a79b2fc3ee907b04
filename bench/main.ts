// Compiled code is kept from one start to the next, as for a worker (src/cli/main.ts): where Node strips the types anew, that stays in memory.
import { spawnSync } from 'node:child_process';
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

const cache = fileURLToPath(new URL('../node_modules/.cache/autofiles', import.meta.url));
// a start that only loads the engine comes before, so that the one that is measured finds its code compiled
spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', fileURLToPath(new URL('engine-bench.ts', import.meta.url))], {
  env: { ...process.env, NODE_COMPILE_CACHE: cache },
  stdio: 'inherit',
});
enableCompileCache(cache);
await import('./all-rows.ts');
