// A worker that starts on a Redis without a layout, new or emptied, asks the archive before it makes one of its own.
import { expect, it } from 'vitest';
import { rememberedLayout } from '../../src/processors/remembered-layout.ts';
import type { LayoutEntries } from '../../src/schema/archive-marks.ts';
import { Failure } from '../../src/schema/failures.ts';

const LAYOUT: LayoutEntries = [
  [4, 0],
  [8, 1_000],
];

/** What it answers when the archive fails with these before it answers, and how often it waited; `known`: Redis has a layout after so many waits. */
async function ask(faults: Error[], known = Number.POSITIVE_INFINITY) {
  const lines: string[] = [];
  let waits = 0;
  const layout = await rememberedLayout({
    isKnown: async () => await Promise.resolve(waits >= known),
    witness: async () => {
      const fault = faults.shift();
      if (fault !== undefined) throw fault;
      return await Promise.resolve({ layout: LAYOUT });
    },
    pause: async () => {
      waits += 1;
      await Promise.resolve();
    },
    log: { info: (_, line) => lines.push(line), warn: (_, line) => lines.push(line) },
  });
  return { layout, waits, lines };
}

const away = () => new Failure('s3_unavailable', 'It is away.');

it('asks again for as long as S3 is away', async () => {
  expect(await ask([away(), away()])).toMatchObject({
    layout: LAYOUT,
    waits: 2,
    lines: [expect.stringContaining('waiting for the archive')],
  });
});

it('waits no longer when another worker has put a layout back', async () => {
  expect(await ask([away(), away(), away()], 1)).toMatchObject({ layout: undefined, waits: 1 });
  expect(await ask([], 0)).toMatchObject({ layout: undefined, waits: 0 });
});

it('goes on without where no wait would help: the recovery asks, too', async () => {
  expect(await ask([new Failure('s3_refused', 'Access Denied')])).toMatchObject({ layout: undefined, waits: 0 });
});
