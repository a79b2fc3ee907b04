import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'vite';

/**
 * Puts the engine with all its packages into a few files, the way a release may be shipped: a process that dies every few seconds starts in half
 * the time. Answers with its main.mjs. Same sources, same Lua scripts. `root`: the checkout.
 */
export async function bundleEngine(folder: string, root: string): Promise<string> {
  const dir = join(folder, 'src', 'cli');
  await build({
    configFile: false,
    logLevel: 'silent',
    // their CommonJS form finds its own parts at run time
    resolve: { mainFields: ['module', 'main'] },
    ssr: { noExternal: true },
    build: {
      ssr: join(root, 'src/cli/main.ts'),
      outDir: dir,
      emptyOutDir: true,
      rolldownOptions: { output: { entryFileNames: '[name].mjs', chunkFileNames: '[name]-[hash].mjs' } },
    },
  });
  await cp(join(root, 'src/queues/lua'), join(dir, 'lua'), { recursive: true });
  return join(dir, 'main.mjs');
}
