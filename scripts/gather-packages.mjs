// Puts TypeBox, which is 700 files, into one: src/cli/gathered-packages.ts says what for. Part of set-up, run once after each `npm ci`, which
// removes what was gathered before. Exit status 1 when it cannot be done; everything works without, starts are slower.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const cache = fileURLToPath(new URL('../node_modules/.cache/autofiles/', import.meta.url));
const folder = mkdtempSync(join(cache, 'gather-'));
try {
  const entry = join(folder, 'typebox.mjs');
  writeFileSync(entry, "export { default } from 'typebox';\nexport * from 'typebox';\nexport * from 'typebox/compile';\n");
  const outDir = join(folder, 'out');
  await build({
    configFile: false,
    logLevel: 'error',
    ssr: { noExternal: true },
    build: { ssr: entry, outDir, rolldownOptions: { output: { entryFileNames: '[name].mjs' } } },
  });
  renameSync(join(outDir, 'typebox.mjs'), join(cache, 'typebox.mjs'));
} finally {
  rmSync(folder, { recursive: true });
}
