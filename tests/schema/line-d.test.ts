import fc from 'fast-check';
import { Compile } from 'typebox/compile';
import { describe, expect, it } from 'vitest';
import { buildLineD, LineD, type LineDFacts, MAX_LINE_D_BYTES } from '../../src/schema/line-d.ts';

const check = Compile(LineD);

function facts(changes: Partial<LineDFacts> = {}): LineDFacts {
  return {
    task_id: 'r0-0123456789abcdefghij.1.0',
    run_id: 'r0-0123456789abcdefghij',
    attempt: 1,
    title: 'Example',
    name: 'Second',
    step: 1,
    index: 0,
    bucket: 'ld-private-1',
    region: 'us-east-1',
    trigger: { key: 'in/example', version_id: 'v1', etag: 'e', size: 10 },
    deadline: Date.UTC(2026, 10, 22, 10, 20, 30, 400),
    outputs: [],
    ...changes,
  };
}

function output(at: number, state: string | null = null) {
  return { task_id: `r0-0123456789abcdefghij.0.${at}`, name: 'get_data', key: `out/r0-0123456789abcdefghij.0.${at}`, state };
}

function parse(text: string): LineD {
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_LINE_D_BYTES);
  return check.Parse(JSON.parse(text));
}

describe('buildLineD', () => {
  it('tells a dyno what it is, what it is for and what came before', () => {
    const { deadline: _, ...rest } = facts();
    expect(parse(buildLineD(facts({ outputs: [output(0, '{"rows": 3}')] })))).toEqual({
      ...rest,
      deadline: '2026-11-22T10:20:30.400Z',
      outputs: [output(0, '{"rows": 3}')],
    });
  });

  it('keeps 50 outputs with short states', () => {
    const outputs = Array.from({ length: 50 }, (_, at) => output(at, 'done'));
    expect(parse(buildLineD(facts({ outputs })))).toMatchObject({ outputs });
  });

  it('drops long states first, from the end, and no output', () => {
    const outputs = Array.from({ length: 10 }, (_, at) => output(at, `${at}`.repeat(2000)));
    const lineD = parse(buildLineD(facts({ outputs })));
    expect(lineD.outputs_truncated).toBe(true);
    expect(lineD.outputs.map((one) => one.key)).toEqual(outputs.map((one) => one.key));
    const kept = lineD.outputs.map((one) => one.state !== null);
    expect(kept).toEqual([true, true, true, true, true, true, true, false, false, false]);
  });

  it('leaves out whole outputs from the end when there are too many', () => {
    const outputs = Array.from({ length: 200 }, (_, at) => output(at, 'done'));
    const lineD = parse(buildLineD(facts({ outputs })));
    expect(lineD.outputs_truncated).toBe(true);
    expect(lineD.outputs.length).toBeGreaterThan(80);
    expect(lineD.outputs).toEqual(outputs.slice(0, lineD.outputs.length));
    const one = JSON.stringify(output(lineD.outputs.length, 'done'));
    expect(Buffer.byteLength(buildLineD(facts({ outputs }))) + Buffer.byteLength(`,${one}`)).toBeGreaterThan(MAX_LINE_D_BYTES);
  });

  it('cuts the title when all else is not enough', () => {
    const lineD = parse(buildLineD(facts({ title: '😀'.repeat(5000), outputs: [output(0)] })));
    expect(lineD.outputs_truncated).toBe(true);
    expect(lineD.outputs).toEqual([]);
    expect(lineD.title).toMatch(/^(😀){3000,}$/u);
  });

  it('refuses names and keys that are larger than S3 has them', () => {
    expect(() => buildLineD(facts({ trigger: { key: 'k'.repeat(17_000), version_id: 'v', etag: 'e', size: 0 } }))).toThrow(RangeError);
  });

  it('holds at most 16 KB and reads back, whatever the texts say', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.constantFrom('\u0001'.repeat(200), '\ud800', '"'.repeat(200), '😀'.repeat(200)),
    );
    const state = fc.option(
      fc.oneof(
        text,
        fc.nat({ max: 2048 }).map((length) => '"'.repeat(length)),
      ),
    );
    const one = fc.record({ task_id: fc.constant('r0-0123456789abcdefghij.0.0'), name: text, key: text, state });
    const outputs = fc
      .tuple(fc.array(one, { maxLength: 3 }), fc.nat({ max: 20 }))
      .map(([list, times]) => Array.from({ length: times }, () => list).flat());
    fc.assert(
      fc.property(text, text, text, outputs, (title, name, key, list) => {
        const given = facts({ title, name, trigger: { key, version_id: 'v', etag: 'e', size: 1 }, outputs: list });
        const lineD = parse(buildLineD(given));
        expect(lineD).toMatchObject({ task_id: given.task_id, run_id: given.run_id, attempt: 1, title, name, trigger: given.trigger });
        const withoutDropped = list
          .slice(0, lineD.outputs.length)
          .map((full, at) => (lineD.outputs[at]?.state === null ? { ...full, state: null } : full));
        const expected = lineD.outputs_truncated === undefined ? list : withoutDropped;
        expect(JSON.stringify(lineD.outputs)).toBe(JSON.stringify(expected));
      }),
      { numRuns: 2000 },
    );
  });
});
