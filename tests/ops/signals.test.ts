// A worker that is asked to end.
import { expect, it } from 'vitest';
import { startWorld } from '../support/process-world.ts';

it('ends well although one stop comes as several signals: from the system, and from those who started it', async () => {
  const world = await startWorld({ ok: (dyno) => dyno.output(5) });
  try {
    const worker = await world.startWorker();
    expect((await world.ended(await world.upload([{ cmd: 'ok', timeout: 30 }]))).state).toBe('succeeded');
    worker.signal('SIGTERM');
    worker.signal('SIGINT');
    worker.signal('SIGTERM');
    expect(await worker.ended).toBe('0');
    expect(worker.said()).not.toContain('at once');
  } finally {
    await world.stop();
  }
});
