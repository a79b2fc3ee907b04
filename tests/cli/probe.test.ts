// The health check of a container, whose variables compose.yaml may hand on empty.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { probeTarget } from '../../src/cli/probe-target.ts';

const NODE = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url));
const PROBE = fileURLToPath(new URL('../../src/cli/probe.ts', import.meta.url));

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A process that answers with that status; what it was asked. */
async function serve(status: number) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(status).end('not well');
  });
  server.listen(0, '127.0.0.1');
  ends.push(() => server.close());
  await once(server, 'listening');
  // a listening TCP server has an AddressInfo
  return { asked, port: String((server.address() as AddressInfo).port) };
}

async function probe(env: Record<string, string>): Promise<number> {
  const child = spawn(NODE, ['--disable-warning=ExperimentalWarning', PROBE], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: 'ignore',
  });
  const [code] = await once(child, 'exit');
  return code;
}

it('takes an empty variable for an unset one', async () => {
  const { asked, port } = await serve(200);
  expect(await probe({ AUTOFILES_WORKER_PORT: '', AUTOFILES_HTTP_PORT: port })).toBe(0);
  expect(await probe({ AUTOFILES_WORKER_PORT: '', AUTOFILES_HTTP_PORT: ' ', PORT: port })).toBe(0);
  expect(await probe({ AUTOFILES_WORKER_PORT: port })).toBe(0);
  expect(asked).toEqual(['/readyz', '/readyz', '/healthz']);
});

it('says that a process is not well that says so, or does not answer', async () => {
  const { port } = await serve(503);
  expect(await probe({ AUTOFILES_WORKER_PORT: port })).toBe(1);
  // nobody listens on the discard port
  expect(await probe({ AUTOFILES_HTTP_PORT: '9' })).toBe(1);
});

it('has nobody to ask in a worker without a port of its own', () => {
  const command = (...words: string[]) => `${words.join('\0')}\0`;
  const worker = command('node', 'src/cli/main.ts', 'worker');
  expect(probeTarget({}, worker)).toBeUndefined();
  expect(
    probeTarget({ AUTOFILES_WORKER_PORT: ' ' }, command('/sbin/docker-init', '--', 'node', 'src/cli/main.ts', 'worker')),
  ).toBeUndefined();
  expect(probeTarget({ PORT: '5000' }, command('sh', '-c', 'exec node src/cli/main.ts worker'))).toBeUndefined();
  expect(probeTarget({ AUTOFILES_WORKER_PORT: '9090' }, worker)).toBe('http://127.0.0.1:9090/healthz');
  expect(probeTarget({}, command('node', 'src/cli/main.ts', 'web'))).toBe('http://127.0.0.1:8080/readyz');
});
