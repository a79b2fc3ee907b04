import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type JsonNode, readJson } from '../../src/schema/json-document.ts';

/** What a tree says, as JSON.parse would say it. */
function meaningOf(node: JsonNode): unknown {
  switch (node.kind) {
    case 'object':
      return Object.fromEntries(node.members.map((member) => [member.name, meaningOf(member.value)]));
    case 'array':
      return node.items.map(meaningOf);
    case 'null':
      return null;
    case 'broken':
      return undefined;
    default:
      return node.value;
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const SOUP = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"a"',
  '"b"',
  '"',
  "'",
  '\\',
  '1',
  '-',
  '0',
  '.5',
  '1e5',
  'true',
  'null',
  'Tru',
  ' ',
  '\n',
  '\r',
  '\t',
  '\f',
  '\u00a0',
  '\u2028',
  '//',
  '/*',
  '*/',
  '#',
  '\\u0041',
  '\0',
];

describe('readJson', () => {
  it('reads what JSON.parse reads, to the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary', maxDepth: 5 }), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        const { root, findings } = readJson(text, 100);
        expect(findings).toEqual([]);
        expect(root === undefined ? undefined : JSON.stringify(meaningOf(root))).toBe(JSON.stringify(JSON.parse(text)));
      }),
      { numRuns: 2000 },
    );
  });

  it('finds a fault in exactly those texts that JSON.parse refuses', () => {
    const soup = fc.array(fc.constantFrom(...SOUP), { maxLength: 12 }).map((pieces) => pieces.join(''));
    const damaged = fc
      .tuple(fc.json({ maxDepth: 3 }), fc.nat(), fc.nat({ max: 2 }), fc.constantFrom(...SOUP))
      .map(([text, at, cut, piece]) => {
        const place = at % (text.length + 1);
        return text.slice(0, place) + piece + text.slice(place + cut);
      });
    fc.assert(
      fc.property(fc.oneof(soup, damaged, fc.string({ unit: 'binary' })), (text) => {
        const { root, findings } = readJson(text, 100);
        const others = findings.filter((finding) => !finding.found.endsWith('a second time'));
        expect(others.length === 0).toBe(parses(text));
        if (others.length === 0) expect(root).toBeDefined();
        for (const finding of findings) expect(finding.offset).toBeLessThanOrEqual(text.length);
      }),
      { numRuns: 4000 },
    );
  });

  it('knows where everything is', () => {
    const { root } = readJson('{"a": [1, "b"]}', 16);
    expect(root).toEqual({
      kind: 'object',
      offset: 0,
      members: [
        {
          name: 'a',
          offset: 1,
          value: {
            kind: 'array',
            offset: 6,
            items: [
              { kind: 'number', offset: 7, value: 1, text: '1' },
              { kind: 'string', offset: 10, value: 'b' },
            ],
          },
        },
      ],
    });
  });
});
