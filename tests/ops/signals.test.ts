// A worker that is asked to end.
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { startWorld } from '../support/process-world.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

it('ends well although one stop comes as several signals: from the system, and from those who started it', async () => {
  const world = await startWorld({ ok: (dyno) => dyno.output(5) });
  ends.push(world.stop);
  const worker = await world.startWorker();
  expect((await world.ended(await world.upload([{ cmd: 'ok', timeout: 30 }]))).state).toBe('succeeded');
  worker.signal('SIGTERM');
  worker.signal('SIGINT');
  worker.signal('SIGTERM');
  expect(await worker.ended).toBe('0');
  expect(worker.said()).not.toContain('at once');
});

/** Stands before an event queue and never answers when it is asked how much waits; all else it passes on. */
async function startSilentQueue(endpoint: string) {
  let asked = 0;
  const server = createServer(async (asking, answer) => {
    const chunks: Buffer[] = [];
    for await (const chunk of asking) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (body.includes('"AttributeNames":["ApproximateNumberOfMessages"]')) {
      asked += 1;
      return;
    }
    const { method, url: path, headers } = asking;
    const passed = request(endpoint, { method, path, headers }, (answered) => {
      answer.writeHead(answered.statusCode ?? 500, answered.headers);
      answered.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    answer.on('close', () => passed.destroy());
    passed.end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  // an AddressInfo for a TCP server
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked: () => asked };
}

it('launches nothing that cannot be launched any more, although its queue does not answer', async () => {
  const world = await startWorld({ ok: (dyno) => dyno.output(5) });
  ends.push(world.stop);
  const queue = await startSilentQueue(new URL(world.queueUrl).origin);
  const worker = await world.startWorker('', { AUTOFILES_SQS_ENDPOINT: queue.url });
  await until('the queue to be asked', () => queue.asked() > 0);
  const steps = Array.from({ length: 30 }, () => ({ cmd: 'ok', timeout: 30 }));
  const under = await world.upload(steps);
  await until('its first launch', () => world.launches(under).length > 0);
  worker.signal('SIGTERM');
  const late = await world.upload(steps);
  expect(await worker.ended).toBe('0');

  await world.startWorker();
  await world.passVisibility();
  for (const runId of [under, late]) {
    const run = await world.ended(runId);
    expect(JSON.stringify(run.history)).not.toContain('Connection is closed');
    expect(run.state).toBe('succeeded');
  }
});
