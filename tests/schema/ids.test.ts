import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventIdentity, parseRunId, parseTaskId, taskId } from '../../src/schema/ids.ts';

const BODY = '0123456789abcdefghij';

function arbitraryRunId(): fc.Arbitrary<{ runId: string; shard: number }> {
  const digit = fc.constantFrom(...'0123456789abcdefghijklmnopqrstuvwxyz');
  return fc
    .tuple(fc.nat({ max: 16_383 }), fc.string({ unit: digit, minLength: 20, maxLength: 20 }))
    .map(([shard, body]) => ({ shard, runId: `r${shard}-${body}` }));
}

describe('parseRunId', () => {
  it('gives the shard', () => {
    expect(parseRunId(`r17-${BODY}`)).toEqual({ runId: `r17-${BODY}`, shard: 17 });
  });

  it.each([
    [''],
    [BODY],
    [`r-${BODY}`],
    [`r01-${BODY}`],
    [`r123456-${BODY}`],
    [`R0-${BODY}`],
    [`r0-${BODY}x`],
    [`r0-${BODY.slice(1)}`],
    [`r0-${BODY.toUpperCase()}`],
    [`r0-${BODY}\n`],
    [` r0-${BODY}`],
    [`r0-${BODY}.0.0`],
  ])('refuses %j', (text) => {
    expect(parseRunId(text)).toBeUndefined();
  });
});

describe('parseTaskId', () => {
  it('reads back every id that taskId makes', () => {
    fc.assert(
      fc.property(arbitraryRunId(), fc.nat({ max: 99 }), fc.nat({ max: 199 }), ({ runId, shard }, step, index) => {
        expect(parseTaskId(taskId(runId, step, index))).toEqual({ runId, shard, step, index });
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    [`r0-${BODY}`],
    [`r0-${BODY}.0`],
    [`r0-${BODY}.0.`],
    [`r0-${BODY}.00.0`],
    [`r0-${BODY}.0.01`],
    [`r0-${BODY}.-1.0`],
    [`r0-${BODY}.1000.0`],
    [`r0-${BODY}.0.0.0`],
    [`r0-${BODY}.0.0\n`],
    [`r0-${BODY}.٠.0`],
    [`x/r0-${BODY}.0.0`],
  ])('refuses %j', (text) => {
    expect(parseTaskId(text)).toBeUndefined();
  });

  it('accepts nothing that it would not write itself', () => {
    const near = fc.stringMatching(/^r[0-9]{1,3}-[0-9a-z]{19,21}\.[0-9]{1,4}\.[0-9]{1,4}$/);
    fc.assert(
      fc.property(fc.oneof(near, fc.string()), (text) => {
        const parts = parseTaskId(text);
        if (parts !== undefined) expect(taskId(parts.runId, parts.step, parts.index)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('eventIdentity', () => {
  it('is different for different object versions, and one text for the same', () => {
    const part = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 4 }),
      fc.string({ unit: fc.constantFrom('a', '"', ',', '\\', '\0', ':'), maxLength: 4 }),
    );
    const event = fc.record({ bucket: part, key: part, versionId: part });
    fc.assert(
      fc.property(event, event, (a, b) => {
        const isSame = a.bucket === b.bucket && a.key === b.key && a.versionId === b.versionId;
        expect(eventIdentity(a) === eventIdentity(b)).toBe(isSame);
        // What is hashed is UTF-8: it must survive that.
        expect(eventIdentity(a).isWellFormed()).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('takes no version id for the empty one', () => {
    expect(eventIdentity({ bucket: 'b', key: 'k' })).toBe(eventIdentity({ bucket: 'b', key: 'k', versionId: '' }));
  });
});
