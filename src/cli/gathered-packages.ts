// Loaded before everything else (`node --import`). TypeBox is 700 files, and to find them takes each process 0.35 s of its start, in which it
// does nothing else; `npm start` starts six. Set-up gathers them into one file (scripts/gather-packages.mjs), which takes 0.03 s. Where there is
// none, as in a container, the package itself is loaded.
import { existsSync } from 'node:fs';
import { registerHooks } from 'node:module';

const gathered = new URL('../../node_modules/.cache/autofiles/typebox.mjs', import.meta.url);

if (existsSync(gathered)) {
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'typebox' || specifier === 'typebox/compile' ? { url: gathered.href, shortCircuit: true } : next(specifier, context),
  });
}
