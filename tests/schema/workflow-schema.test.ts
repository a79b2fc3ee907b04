import { readFile, writeFile } from 'node:fs/promises';
import { Compile } from 'typebox/schema';
import { describe, expect, it } from 'vitest';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { workflowJsonSchema } from '../../src/schema/workflow-schema.ts';

const SHIPPED = new URL('../../docs/workflow.schema.json', import.meta.url);

function setup() {
  const text = JSON.stringify(workflowJsonSchema());
  const document: Readonly<Record<string, unknown>> = JSON.parse(text);
  const { examples } = document;
  return { text, document, validator: Compile(document), examples: Array.isArray(examples) ? examples : [] };
}

describe('the JSON Schema of a workflow', () => {
  it('is shipped in docs (UPDATE=1 npx vitest run tests/schema/workflow-schema.test.ts writes it)', async () => {
    const { document } = setup();
    if (process.env['UPDATE'] === '1') await writeFile(SHIPPED, `${JSON.stringify(document, undefined, 2)}\n`);
    expect(JSON.parse(await readFile(SHIPPED, 'utf8'))).toEqual(document);
  });

  it('is one of draft 2020-12 with an address', () => {
    expect(setup().document).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: expect.stringMatching(/^[a-z]+:/),
    });
  });

  it('has examples that it allows, and that parseWorkflow takes', () => {
    const { examples, validator } = setup();
    expect(examples.length).toBeGreaterThan(2);
    for (const example of examples) {
      expect(validator.Errors(example)).toEqual([true, []]);
      expect(parseWorkflow(JSON.stringify(example))).toMatchObject({ ok: true, workflow: example });
    }
  });

  it.each([
    [{}],
    [{ run: [] }],
    [{ run: [{}] }],
    [{ run: [{ cmd: ' ' }] }],
    [{ run: [{ comand: 'a' }] }],
    [{ run: [{ cmd: 'a', parallel: [{ cmd: 'a' }] }] }],
    [{ run: [{ parallel: [{ parallel: [{ cmd: 'a' }] }] }] }],
    [{ run: [{ cmd: 'a', timeout: '60' }] }],
    [{ run: [{ cmd: 'a', options: ['a'] }] }],
    [{ run: [{ cmd: 'a', machine: 'dyno_size' }] }],
    [{ run: [{ cmd: 'a', backoff: { type: 'none' } }] }],
    [{ run: [{ cmd: 'a' }], extra: 1 }],
  ])('refuses %j as parseWorkflow does', (document) => {
    expect(setup().validator.Check(document)).toBe(false);
    expect(parseWorkflow(JSON.stringify(document)).ok).toBe(false);
  });

  it('allows its own address in a document', () => {
    const document = { $schema: './workflow.schema.json', run: [{ cmd: 'a' }] };
    expect(setup().validator.Check(document)).toBe(true);
    expect(parseWorkflow(JSON.stringify(document)).ok).toBe(true);
  });
});
