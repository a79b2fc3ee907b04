// `npm run test:containers`: the image and the stack, where there is a container engine; elsewhere one loud line and success.
// With AUTOFILES_CONTAINERS=required (.ci/run) a missing engine is a failure.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installLocked } from './install-locked.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const own = join(root, 'tests', 'containers');
const run = (command, args, options = {}) => spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options }).status ?? 1;
const must = (what, status) => {
  if (status === 0) return;
  console.error(`test:containers: ${what} failed`);
  process.exit(1);
};

if (run('docker', ['version', '--format', '{{.Server.Version}}'], { stdio: 'ignore' }) !== 0) {
  console.error(
    '!!! test:containers: SKIPPED, since no container engine answers `docker version`. Install one and start it to run these tests.',
  );
  process.exit(process.env.AUTOFILES_CONTAINERS === 'required' ? 1 : 0);
}
for (const image of ['node:24-bookworm-slim', 'redis:7-bookworm']) {
  const there = run('docker', ['image', 'inspect', image], { stdio: 'ignore' }) === 0;
  if (!there) run('docker', ['pull', '-q', image], { timeout: 60_000 });
}
// makes what could not be pulled, and again what an older recipe made
must('docker/base-images.sh', run(join(root, 'docker', 'base-images.sh'), []));
must('npm ci in tests/containers', installLocked(own) ? 0 : 1);
must('the types of tests/containers', run('npx', ['tsc', '-p', 'tests/containers']));
process.exit(run('npx', ['vitest', 'run', '--config', 'vitest.containers.config.ts']));
