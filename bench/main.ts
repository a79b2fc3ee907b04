// Compiled code is kept from one start to the next, as for a worker (src/cli/main.ts): without it Node's stripping of the types stays in memory.
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/autofiles', import.meta.url)));
await import('./all-rows.ts');
