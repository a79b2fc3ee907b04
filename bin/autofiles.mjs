#!/usr/bin/env node
// The `autofiles` command of a clone or an installed package. The machine's own Node may be older than the
// one the project brings along, so the sources are always started with that one.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const own = join(root, 'node_modules', 'node', 'bin', 'node');
const node = existsSync(own) ? own : process.execPath;
const main = join(root, 'src', 'cli', 'main.ts');
// a worker has many short-lived objects and little that lives: see src/cli/heap.ts
const small = process.argv[2] === 'worker' ? ['--max-semi-space-size=16'] : [];
const gathered = ['--import', pathToFileURL(join(root, 'src', 'cli', 'gathered-packages.ts')).href];
const child = spawn(node, ['--disable-warning=ExperimentalWarning', ...gathered, ...small, main, ...process.argv.slice(2)], {
  stdio: 'inherit',
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  console.error(`autofiles: cannot start ${node}: ${error.message}`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  if (signal !== null) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    return;
  }
  process.exit(code ?? 1);
});
