import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Builds docker/Dockerfile as `tag`. testcontainers' builder has no `--network host`, which a machine without a container registry's network needs. */
export async function build(tag: string, ...more: string[]): Promise<void> {
  await run('docker', ['build', '--network', 'host', '-f', 'docker/Dockerfile', '-t', tag, ...more, '.'], {
    cwd: ROOT,
    env: { ...process.env, DOCKER_BUILDKIT: '0' },
    maxBuffer: 50_000_000,
  });
}
