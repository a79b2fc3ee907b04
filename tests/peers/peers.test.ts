// The systems that the bench compares with do their two steps here, too: a comparison that cannot be run is none.
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { peerRows } from '../../bench/peers-bench.ts';
import { inWorld } from '../../bench/world.ts';

it('runs the engine, BullMQ, Restate, DBOS and graphile-worker on the same two steps, each to its end, and leaves nothing behind', async () => {
  const before = new Set(readdirSync(tmpdir()));
  const rows = await inWorld(async (world) => await peerRows(world, { rounds: 1, runs: 20, idleMs: 200 }, () => {}));
  const found = (unit: string, name: string) => rows.filter((row) => row.unit === unit && row.name.includes(name)).map((row) => row.value);
  for (const name of ['Autofiles', 'BullMQ', 'Restate', 'DBOS', 'graphile-worker']) {
    const speeds = found('runs/s', name);
    expect(speeds.length, name).toBeGreaterThan(0);
    for (const speed of speeds) expect(speed, name).toBeGreaterThan(0);
  }
  // each one's ratio is of the round's own figures
  const ratio = (name: string) => rows.find((row) => row.name === `runs/s of Autofiles in those of ${name}`)?.value ?? 0;
  for (const name of ['Restate', 'DBOS on PostgreSQL', 'BullMQ, two jobs']) expect(ratio(name), name).toBeGreaterThan(0);
  // Restate names its folders `invoker-…`
  expect(readdirSync(tmpdir()).filter((name) => !before.has(name) && /^(invoker|af-bench)/.test(name))).toEqual([]);
});
