import fc from 'fast-check';
import { Compile } from 'typebox/compile';
import { describe, expect, it } from 'vitest';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { MAX_DOCUMENT_BYTES, Workflow } from '../../src/schema/workflow.ts';
import { planOf, TASK } from './parsed-document.ts';

describe('a valid workflow', () => {
  it('gets its defaults', () => {
    expect(planOf({ run: [{ cmd: 'a' }] })).toEqual({ title: '', timeout: 0, steps: [{ name: '', group: false, tasks: [TASK] }] });
  });

  it('is not retried by default when nobody looks at its output', () => {
    expect(planOf({ run: [{ cmd: 'a', no_output: true }] }).steps[0]?.tasks[0]).toEqual({ ...TASK, no_output: true, retries: 0 });
    expect(planOf({ run: [{ cmd: 'a', no_output: true, retries: 3 }] }).steps[0]?.tasks[0]?.retries).toBe(3);
  });

  it('may be the starter of the documentation', () => {
    const starter = {
      title: 'Example 2-step workflow',
      run: [
        { cmd: `bash -c 'echo "Do Step 1"'`, machine: 'basic', no_output: true },
        { cmd: `bash -c 'echo "Do Step 2"'`, machine: 'basic', no_output: true },
      ],
    };
    const parsed = parseWorkflow(JSON.stringify(starter));
    expect(parsed.ok && parsed.workflow).toEqual(starter);
    expect(planOf(starter).steps.map((step) => step.tasks[0]?.cmd)).toEqual([`bash -c 'echo "Do Step 1"'`, `bash -c 'echo "Do Step 2"'`]);
  });

  it('may be the media workflow of the documentation', () => {
    const media = '{"title": "Process media files", "run": [{"cmd": "process_image", "machine": "basic", "timeout": 30}]}';
    expect(planOf(media).steps[0]?.tasks).toEqual([{ ...TASK, cmd: 'process_image', timeout: 30 }]);
  });

  it('may be the JSON page of the documentation with its placeholders filled in', () => {
    const page = {
      title: 'Workflow title',
      run: [
        { name: 'First task to run', cmd: 'Heroku process name', machine: 'basic', options: ['dir=out', 'model_preset=model-preset'] },
        {
          name: 'Run a parallel Task Group',
          parallel: ['posts', 'users', 'comments'].map((end) => ({ cmd: 'get_data', machine: 'basic', options: [`endpoint=${end}`] })),
        },
      ],
    };
    const { title, steps } = planOf(page);
    expect(title).toBe('Workflow title');
    expect(steps[0]).toMatchObject({
      name: 'First task to run',
      group: false,
      tasks: [{ options: { dir: 'out', model_preset: 'model-preset' } }],
    });
    expect(steps[1]).toMatchObject({
      name: 'Run a parallel Task Group',
      group: true,
      tasks: [{}, {}, { options: { endpoint: 'comments' } }],
    });
  });

  it.each([
    ['\ufeff{"run":[{"cmd":"a"}]}'],
    [' \r\n\t{"run" : [ {"cmd":"a"} ] } \n'],
    ['{"$schema":"./workflow.schema.json","run":[{"cmd":"a"}]}'],
    ['{"timeout":2592000,"run":[{"cmd":"a"}]}'],
    ['{"run":[{"cmd":"\\u0061"}]}'],
  ])('may be written as %j', (text) => {
    expect(planOf(text).steps[0]?.tasks[0]?.cmd).toBe('a');
  });

  it('splits options at their first =, and any name that is none of ours is one', () => {
    const options = ['a=', 'b==', 'c=x=y', 'd= x ', '__proto__=e', 'constructor=f', 'g=line\nbreak', 'path=h', 'h=\ud800'];
    const entries = Object.entries(planOf({ run: [{ cmd: 'a', options }] }).steps[0]?.tasks[0]?.options ?? {});
    expect(entries).toEqual([
      ['a', ''],
      ['b', '='],
      ['c', 'x=y'],
      ['d', ' x '],
      ['__proto__', 'e'],
      ['constructor', 'f'],
      ['g', 'line\nbreak'],
      ['path', 'h'],
      ['h', '\ud800'],
    ]);
  });

  it.each([
    [{ type: 'fixed' }, { type: 'fixed', delay: 1, max: 60 }],
    [
      { type: 'fixed', delay: 90 },
      { type: 'fixed', delay: 90, max: 90 },
    ],
    [
      { type: 'exponential', max: 0.5 },
      { type: 'exponential', delay: 0.5, max: 0.5 },
    ],
    [
      { type: 'exponential', delay: 0, max: 0 },
      { type: 'exponential', delay: 0, max: 0 },
    ],
  ])('with the backoff %j waits %j', (backoff, planned) => {
    expect(planOf({ run: [{ cmd: 'a', backoff }] }).steps[0]?.tasks[0]?.backoff).toEqual(planned);
  });

  it('may be as large as the bounds', () => {
    expect(planOf({ run: Array.from({ length: 100 }, () => ({ parallel: [{ cmd: 'a' }, { cmd: 'b' }] })) }).steps).toHaveLength(100);
    expect(planOf({ run: [{ parallel: Array.from({ length: 200 }, () => ({ cmd: 'a' })) }] }).steps[0]?.tasks).toHaveLength(200);
    const bare = JSON.stringify({ run: [{ cmd: 'a' }] });
    expect(planOf(bare + ' '.repeat(MAX_DOCUMENT_BYTES - bare.length)).steps).toHaveLength(1);
  });
});

describe('parseWorkflow', () => {
  const table = Compile(Workflow);

  /** Whatever the text, the answer is one of the two and complete. */
  function expectAnswer(text: string): void {
    const parsed = parseWorkflow(text);
    if (parsed.ok) {
      expect(table.Check(JSON.parse(text.replace(/^\ufeff/, '')))).toBe(true);
      expect(parsed.plan.steps).toHaveLength(parsed.workflow.run.length);
      return;
    }
    expect(parsed.faults.length).toBeGreaterThan(0);
    expect(parsed.faults.length).toBeLessThanOrEqual(20);
    const places = parsed.faults.map(({ line, column }) => line * 100_000 + column);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    for (const { message, line, column, found, expected } of parsed.faults) {
      expect(line).toBeGreaterThan(0);
      expect(column).toBeGreaterThan(0);
      expect(message).toContain(`(${line}:${column}): found ${found}, expected ${expected}`);
      expect(message.isWellFormed()).toBe(true);
      // The rules are never more lenient than the table.
      expect(found).not.toBe('what the table does not allow');
    }
  }

  const odd = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom(null, true, '60', 'true', -1, 1.5, 1e300, '', ' ', '\0', '\ud800', [], {}, ['a=b'], ['a=b', 'a=c'], 'x'.repeat(300)),
  );
  const field = fc.constantFrom(
    'cmd',
    'cmd',
    'name',
    'machine',
    'timeout',
    'options',
    'no_output',
    'wait_for',
    'retries',
    'backoff',
    'parallel',
    'comand',
    '__proto__',
  );
  const oddTask = fc.array(fc.tuple(field, odd), { maxLength: 4 }).map((entries) => Object.fromEntries([['cmd', 'a'], ...entries]));
  const oddStep = fc.oneof(
    oddTask,
    fc.array(oddTask, { maxLength: 3 }).map((parallel) => ({ parallel })),
    odd,
  );
  const oddDocument = fc.oneof(
    fc.record({ run: fc.array(oddStep, { maxLength: 4 }) }),
    fc.record({ run: odd, title: odd, $schema: odd }, { requiredKeys: [] }),
  );

  it('answers any text', () => {
    fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.json()), expectAnswer), { numRuns: 2000 });
  });

  it('answers any document', () => {
    fc.assert(
      fc.property(oddDocument, fc.constantFrom(undefined, 1, '\t'), (document, indent) =>
        expectAnswer(JSON.stringify(document, undefined, indent)),
      ),
      { numRuns: 2000 },
    );
  });

  it('answers any damaged document', () => {
    const pieces = fc.constantFrom(
      ...[
        '"',
        "'",
        ',',
        '{',
        '}',
        '[',
        ']',
        ':',
        '\\',
        '\n',
        '\r',
        '\0',
        '\t',
        '#',
        '//',
        '/*',
        'NaN',
        'True',
        'null',
        '01',
        '\ud800',
        '\u00a0',
        '"""',
      ],
    );
    fc.assert(
      fc.property(
        oddDocument,
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 2 }), pieces), { minLength: 1, maxLength: 4 }),
        (document, damages) => {
          let text = JSON.stringify(document);
          for (const [at, cut, piece] of damages) {
            const place = at % (text.length + 1);
            text = text.slice(0, place) + piece + text.slice(place + cut);
          }
          expectAnswer(text);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('accepts every document that the tables allow, as written', () => {
    const name = fc.string({ unit: 'grapheme', maxLength: 8 });
    const option = fc
      .tuple(fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/), name)
      .map(([key, value]) => [key, `${key}=${value.replaceAll('\0', '')}`] as const);
    const backoff = fc.record(
      {
        type: fc.constantFrom('fixed', 'exponential'),
        delay: fc.integer({ min: 0, max: 100 }),
        max: fc.integer({ min: 100, max: 86_400 }),
      },
      { requiredKeys: ['type'] },
    );
    const task = fc.record(
      {
        name,
        cmd: name.map((text) => `a${text.replaceAll('\0', '')}`),
        machine: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$/),
        timeout: fc.integer({ min: 1, max: 14_400 }),
        options: fc
          .uniqueArray(
            option.filter(([key]) => !key.startsWith('npm_config_')),
            { selector: ([key]) => key, maxLength: 5 },
          )
          .map((list) => list.map(([, entry]) => entry)),
        no_output: fc.boolean(),
        wait_for: fc.integer({ min: 0, max: 86_400 }),
        retries: fc.integer({ min: 0, max: 20 }),
        backoff,
      },
      { requiredKeys: ['cmd'] },
    );
    const group = fc.record({ name, parallel: fc.array(task, { minLength: 1, maxLength: 2 }) }, { requiredKeys: ['parallel'] });
    const workflow = fc.record(
      { title: name, run: fc.array(fc.oneof(task, group), { minLength: 1, maxLength: 3 }) },
      { requiredKeys: ['run'] },
    );
    fc.assert(
      fc.property(workflow, fc.constantFrom(undefined, 2), (document, indent) => {
        const parsed = parseWorkflow(JSON.stringify(document, undefined, indent));
        if (!parsed.ok) throw new Error(parsed.faults.map((fault) => fault.message).join('\n'));
        expect(JSON.stringify(parsed.workflow)).toBe(JSON.stringify(document));
        const tasks = parsed.plan.steps.flatMap((step) => step.tasks);
        const written = document.run.flatMap((entry) => ('parallel' in entry ? entry.parallel : [entry]));
        expect(tasks.map((one) => one.cmd)).toEqual(written.map((one) => one.cmd));
        expect(
          tasks.map((one) =>
            Object.entries(one.options)
              .map(([key, value]) => `${key}=${value}`)
              .sort(),
          ),
        ).toEqual(written.map((one) => [...(one.options ?? [])].sort()));
        expect(parseWorkflow(JSON.stringify(document))).toEqual(parsed);
      }),
      { numRuns: 2000 },
    );
  });
});
