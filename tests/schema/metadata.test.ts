import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeText } from '../../src/schema/encoded-text.ts';
import { readMetadata } from '../../src/schema/metadata.ts';

const TASK = 'r0-0123456789abcdefghij.1.2';

/** RFC 2047 as S3 writes it. */
function encodedB(text: string): string {
  return `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`;
}

function encodedQ(text: string, charset: 'utf8' | 'latin1'): string {
  const bytes = Array.from(Buffer.from(text, charset), (byte) => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`);
  return `=?${charset === 'utf8' ? 'utf-8' : 'iso-8859-1'}?Q?${bytes.join('')}?=`;
}

describe('readMetadata', () => {
  it('reads all four names', () => {
    const metadata = { ld_run: 'true', ld_code: '{"run":[]}', ld_task_id: TASK, ld_state: 'half way' };
    expect(readMetadata(metadata)).toEqual({ run: true, code: '{"run":[]}', taskId: TASK, state: 'half way', faults: [] });
  });

  it('finds nothing in an object without them', () => {
    expect(readMetadata({ mtime: '1', ld_other: 'x', ldrun: 'true' })).toEqual({ run: false, faults: [] });
  });

  it.each([['ld-run'], ['LD_RUN'], ['Ld-Run'], ['ld_run']])('takes the name %s', (name) => {
    expect(readMetadata({ [name]: 'true' }).run).toBe(true);
  });

  it.each([['ld-task-id'], ['ld_task-id'], ['LD-TASK_ID']])('takes the name %s', (name) => {
    expect(readMetadata({ [name]: TASK }).taskId).toBe(TASK);
  });

  it('takes the form with _ when both are there, and says so when they differ', () => {
    const { code, faults } = readMetadata({ 'ld-code': 'b', ld_code: 'a' });
    expect(code).toBe('a');
    expect(faults).toEqual(['ld-code: found a second value for ld_code; the first one counts, send it once.']);
    expect(readMetadata({ 'ld-code': 'a', ld_code: 'a' }).faults).toEqual([]);
  });

  it.each([['true'], ['TRUE'], ['True'], ['1'], ['yes'], [' Yes ']])('runs for ld_run %j', (value) => {
    expect(readMetadata({ ld_run: value })).toEqual({ run: true, faults: [] });
  });

  it.each([['false'], ['0'], ['no'], ['']])('does not run for ld_run %j', (value) => {
    expect(readMetadata({ ld_run: value })).toEqual({ run: false, faults: [] });
  });

  it.each([['on'], ['2'], ['tru'], ['true true']])('does not run for ld_run %j and says why', (value) => {
    const { run, faults } = readMetadata({ ld_run: value });
    expect(run).toBe(false);
    expect(faults).toEqual([`ld_run: found ${JSON.stringify(value)}, expected true, 1 or yes; nothing is run for it.`]);
  });

  it.each([[''], ['None'], [`${TASK}.3`], ['r0-short.0.0'], [`out/${TASK}`]])('refuses the task id %j', (value) => {
    const { taskId, faults } = readMetadata({ ld_task_id: value });
    expect(taskId).toBeUndefined();
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(`ld_task_id: found ${JSON.stringify(value)}`);
  });

  it('keeps an empty workflow: it is one that can be refused visibly', () => {
    expect(readMetadata({ ld_code: '' })).toEqual({ run: false, code: '', faults: [] });
  });

  it('decodes values that S3 encoded', () => {
    const code = '{"title":"Bücher – 本","run":[{"cmd":"a"}]}';
    expect(readMetadata({ ld_code: encodedB(code) }).code).toBe(code);
    expect(readMetadata({ ld_task_id: encodedB(TASK) }).taskId).toBe(TASK);
  });

  it('never throws', () => {
    const name = fc.oneof(fc.constantFrom('ld_run', 'ld-code', 'LD_task_id', 'ld_state', '__proto__', 'constructor'), fc.string());
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.stringMatching(/^(=\?(utf-8|iso-8859-1|x)\?[BQ]\?[A-Za-z0-9=_+/]*\?= ?){1,3}$/),
    );
    fc.assert(
      fc.property(fc.dictionary(name, value), (metadata) => {
        const read = readMetadata(metadata);
        expect(typeof read.run).toBe('boolean');
        for (const fault of read.faults) expect(fault.isWellFormed()).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('decodeText', () => {
  it.each([
    ['plain text', 'plain text'],
    ['=?UTF-8?B?w6k=?=', 'é'],
    ['=?utf-8?b?w6k=?=', 'é'],
    ['=?UTF-8?Q?caf=C3=A9_au_lait?=', 'café au lait'],
    ['=?ISO-8859-1?Q?caf=E9?=', 'café'],
    ['=?iso-8859-1?B?6Q==?=', 'é'],
    ['=?utf-8*en?Q?=C3=A9?=', 'é'],
    ['=?utf-8?Q?a?= =?utf-8?Q?b?=', 'ab'],
    ['=?utf-8?Q?a?=\r\n =?iso-8859-1?Q?=E9?=', 'aé'],
    // One character cut in two words, as writers do that count bytes.
    ['=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=', 'é'],
    ['before =?utf-8?Q?=C3=A9?= behind', 'before é behind'],
    ['=?utf-8?Q??=', ''],
    // A word inside JSON is the writer's own.
    ['{"a":"=?utf-8?Q?b?="}', '{"a":"=?utf-8?Q?b?="}'],
    ['x=?utf-8?Q?b?=', 'x=?utf-8?Q?b?='],
    ['=?koi8-r?B?w6k=?=', '=?koi8-r?B?w6k=?='],
    ['=?utf-8?B?%%?=', '=?utf-8?B?%%?='],
    ['=?utf-8?Q?=C3?=', '=?utf-8?Q?=C3?='],
    ['=?utf-8?Q?=C?=', '=?utf-8?Q?=C?='],
    ['=?utf-8?X?a?=', '=?utf-8?X?a?='],
    ['Ã©', 'é'],
    ['{"title":"BÃ¼cher"}', '{"title":"Bücher"}'],
    ['é', 'é'],
    ['Ã', 'Ã'],
    ['Ã© 本', 'Ã© 本'],
    ['\ud800', '\ud800'],
  ])('reads %j as %j', (text, decoded) => {
    expect(decodeText(text)).toBe(decoded);
  });

  it('gives back any text that S3 encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
        expect(decodeText(encodedB(text))).toBe(text);
        expect(decodeText(encodedQ(text, 'utf8'))).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  it('repairs any text whose UTF-8 was read as latin-1', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-composite' }), (text) => {
        fc.pre(!text.includes('=?'));
        expect(decodeText(Buffer.from(text).toString('latin1'))).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  it('decodes latin-1 words', () => {
    expect(decodeText(encodedQ('Straße', 'latin1'))).toBe('Straße');
  });
});
