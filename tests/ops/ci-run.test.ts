// The gate's script says why when the container engine that it starts does not come up. All other programs are played: each succeeds at once.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';

const GATE = fileURLToPath(new URL('../../.ci/run', import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'af-gate-'));
  for (const name of ['apt-get', 'npm', 'redis-server', 'docker-compose', 'debootstrap']) await play(name, 'exit 0');
});
afterEach(() => rm(folder, { recursive: true }));

const play = (name: string, text: string) => writeFile(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
const runGate = () =>
  new Promise<{ status: unknown; stderr: string }>((resolve) => {
    const env = { PATH: `${folder}:/usr/bin:/bin`, TMPDIR: folder };
    execFile(GATE, { env }, (error, _stdout, stderr) => resolve({ status: error === null ? 0 : error.code, stderr }));
  });

it('shows the end of the engine’s log when the engine does not start', async () => {
  await play('docker', 'exit 1');
  await play('dockerd', 'for line in $(seq 1 100); do echo "line $line"; done; echo "failed to start: no cgroups" >&2; exit 1');
  const { status, stderr } = await runGate();
  expect(status).toBe(1);
  expect(stderr).toContain('failed to start: no cgroups');
  expect(stderr).toContain('line 90\n');
  expect(stderr).not.toContain('line 10\n');
});

it('uses the engine that runs, or the one that it starts', async () => {
  await play('docker', `test -e ${folder}/up`);
  await play('dockerd', `touch ${folder}/up; exec sleep 60`);
  expect(await runGate()).toEqual({ status: 0, stderr: '' });
  await play('dockerd', 'exit 1');
  expect(await runGate()).toEqual({ status: 0, stderr: '' });
});
