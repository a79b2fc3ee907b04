import fc from 'fast-check';
import { Compile } from 'typebox/compile';
import { describe, expect, it } from 'vitest';
import type { Fault } from '../../src/schema/fault.ts';
import { REFUSED_OPTION_NAMES } from '../../src/schema/option-entry.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { MAX_DOCUMENT_BYTES, MAX_STEPS, MAX_TIMEOUT_S, MAX_WAIT_S, Workflow, type WorkflowPlan } from '../../src/schema/workflow.ts';

const TASK = {
  name: '',
  cmd: 'a',
  machine: 'basic',
  timeout: 60,
  options: {},
  no_output: false,
  wait_for: 0,
  retries: 2,
  backoff: { type: 'exponential', delay: 1, max: 60 },
};

function faultsOf(document: unknown): readonly Fault[] {
  const parsed = parseWorkflow(typeof document === 'string' ? document : JSON.stringify(document));
  return parsed.ok ? [] : parsed.faults;
}

function messagesOf(document: unknown): string[] {
  return faultsOf(document).map((fault) => fault.message);
}

/** The messages about a task with these fields. */
function taskMessages(fields: object): string[] {
  return messagesOf({ run: [{ cmd: 'a', ...fields }] });
}

function planOf(document: unknown): WorkflowPlan {
  const parsed = parseWorkflow(typeof document === 'string' ? document : JSON.stringify(document));
  if (!parsed.ok) throw new Error(parsed.faults.map((fault) => fault.message).join('\n'));
  return parsed.plan;
}

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

describe('a fault', () => {
  it('has a pointer, a place, what was found and expected, and how to fix it', () => {
    const [fault, ...rest] = faultsOf('{\n  "run": [\n    {"cmd": "a", "timeout": "60"}\n  ]\n}');
    expect(rest).toEqual([]);
    expect(fault).toEqual({
      pointer: '/run/0/timeout',
      line: 3,
      column: 29,
      found: 'the text "60"',
      expected: 'a whole number from 1 to 14400',
      hint: 'write 60 without quotes',
      message: '/run/0/timeout (3:29): found the text "60", expected a whole number from 1 to 14400; write 60 without quotes.',
    });
  });

  it.each([['\n'], ['\r\n'], ['\r']])('counts lines that end with %j', (end) => {
    expect(faultsOf(`{"run":${end}[${end}  1]}`)[0]).toMatchObject({ pointer: '/run/0', line: 3, column: 3 });
  });

  it('escapes pointers', () => {
    expect(faultsOf({ run: [{ cmd: 'a' }], 'a/b~c': 1 })[0]?.pointer).toBe('/a~1b~0c');
  });

  it('comes with all others, in the order of the document', () => {
    const text = '{"titel": "x", "run": [{"cmd": "", "timeout": 0}, {"parallel": []},], "extra": NaN}';
    expect(faultsOf(text).map((fault) => [fault.pointer, fault.column])).toEqual([
      ['/titel', 2],
      ['/run/0/cmd', 32],
      ['/run/0/timeout', 47],
      ['/run/1/parallel', 64],
      ['/run', 67],
      ['/extra', 71],
      ['/extra', 80],
    ]);
  });

  it('is one of at most twenty', () => {
    expect(faultsOf({ run: Array.from({ length: 50 }, () => ({ cmd: 1 })) })).toHaveLength(20);
  });
});

describe('what is no JSON', () => {
  it.each([
    ['', 'The document (1:1): found an empty document, expected a JSON object; send the workflow as JSON text.'],
    ['  \n', 'The document (1:1): found an empty document, expected a JSON object; send the workflow as JSON text.'],
    ['{"run":[', '/run/0 (1:9): found the end of the document, expected a JSON value; is it cut off?'],
    ['{"run":[{"cmd":"a}]}', '/run/0/cmd (1:16): found a text that does not end on its line, expected a closing double quote'],
    ['{"run":[{"cmd":"a",}]}', '/run/0 (1:19): found a comma before "}", expected an entry behind each comma; remove the comma.'],
    ['{"run":[{"cmd":"a"},]}', '/run (1:20): found a comma before "]"'],
    ['{"run":[,{"cmd":"a"}]}', '/run (1:9): found a comma with nothing before it'],
    ['{"run":[{"cmd":"a"}]} // x', 'The document (1:23): found a comment, expected JSON, which has none; remove it.'],
    ['{"run":[/* x */{"cmd":"a"}]}', '/run (1:9): found a comment'],
    ['{"run":[{"cmd":"a"}]} # x', 'The document (1:23): found a comment'],
    ['{"timeout":0,"run":[{"cmd":"a"}]}', '/timeout (1:12): found the number 0, expected a whole number from 1 to 2592000'],
    ['{"run":[{"cmd":"a","timeout":NaN}]}', '/run/0/timeout (1:30): found NaN, expected a JSON value; JSON has no NaN'],
    ['{"run":[{"cmd":"a","timeout":-Infinity}]}', 'found -Infinity'],
    ['{"run":[{"cmd":"a","timeout":01}]}', '/run/0/timeout (1:30): found "01", expected a JSON number'],
    ['{"run":[{"cmd":"a","timeout":+1}]}', 'found "+1", expected a JSON number'],
    ['{"run":[{"cmd":"a","timeout":60s}]}', 'found "60s", expected a JSON number'],
    ['{"run":[{"cmd":"a","timeout":0x10}]}', 'found "0x10", expected a JSON number'],
    ['{"run":[{"cmd":"a\\d"}]}', '/run/0/cmd (1:18): found the escape "\\\\d"'],
    ['{"run":[{"cmd":"a\\u12"}]}', '/run/0/cmd (1:18): found the escape "\\\\u", expected'],
    [
      '{"run":[{"cmd":"a\tb"}]}',
      '/run/0/cmd (1:18): found the control character U+0009, expected a text without control characters; write \\u0009.',
    ],
    ['{"run":[{"cmd":"a"}]}{}', 'The document (1:22): found "{" behind the document, expected its end'],
    ['{"run" [{"cmd":"a"}]}', '/run (1:8): found "[", expected ":" behind "run"'],
    ['{"run":[{"cmd":"a" "name":"b"}]}', '/run/0 (1:20): found the text "name", expected "," or "}"'],
    ['{"run":[{"cmd":"a"\n"name":"b"}]}', '/run/0 (2:1): found the next entry, expected a comma before it.'],
    ['{"run":[{"cmd":"a"}\n{"cmd":"b"}]}', '/run (2:1): found the next entry, expected a comma before it.'],
    ['{"run":[{"cmd":"a"}}', '/run (1:20): found "}", expected "," or "]".'],
    ['{"run":[{"cmd":"echo "hi""}]}', '/run/0 (1:23): found "hi", expected "," or "}"'],
    [
      '{run:[{"cmd":"a"}]}',
      'The document (1:2): found "run", expected a name in double quotes or "}"; names and texts stand in double quotes.',
    ],
    ['{"run":[{“cmd”:"a"}]}', 'found a typographic quote, expected straight double quotes'],
    ['{"run":\u00a0[{"cmd":"a"}]}', '/run (1:8): found the character U+00A0'],
    ['{\\"run\\":[]}', 'the double quotes are escaped once too often'],
    ['title: x', 'found "title", expected a JSON object; a workflow looks like'],
    ['\u0089PNG\r\n', 'expected a JSON object; a workflow looks like'],
    ['"{\\"run\\":[]}"', 'this is JSON inside a JSON text: encode the workflow once'],
    ['[{"cmd":"a"}]', 'The document (1:1): found a list, expected an object with "run"; write {"run": […]} around the list.'],
    ['null', 'The document (1:1): found null, expected an object with "run".'],
    ['{"run":[{"cmd":"a"}],"run":[{"cmd":"b"}]}', '/run (1:22): found "run" a second time, expected each name once'],
    ['{"run":[{"cmd":"a","cmd":"b"}]}', '/run/0/cmd (1:20): found "cmd" a second time'],
    ['{"run":[{"cmd":"a","c\\u006dd":"b"}]}', '/run/0/cmd (1:20): found "cmd" a second time'],
  ])('such as %j is named', (text, message) => {
    expect(messagesOf(text).join('\n')).toContain(message);
  });

  it.each([
    [`{'title': 'x', 'run': [{'cmd': 'a'}]}`, 1],
    [`{'run': [{'cmd': """bash -c 'echo "Do Step 1"'""", 'no_output': True}]}`, 1],
    ['{"run": [{"cmd": """a""", "name": "b"}]}', 1],
    ['{"run": [{"cmd": "a", "no_output": True, "name": None}]}', 2],
  ])('such as the Python dict %s is named once for each thing to change', (text, count) => {
    const messages = messagesOf(text);
    expect(messages).toHaveLength(count);
    for (const message of messages) expect(message).toContain('this looks like a Python dict; send json.dumps(workflow)');
  });

  it('such as bytes printed by Python, or a document in single quotes, is named', () => {
    expect(messagesOf(`b'{"run": []}'`)).toEqual([expect.stringContaining('send json.dumps(workflow).encode()')]);
    expect(messagesOf(`'{"run": []}'`)).toEqual([expect.stringContaining('remove the quotes around the document')]);
  });
});

describe('the bounds', () => {
  it('are 64 KB', () => {
    const text = JSON.stringify({ run: [{ cmd: 'a' }], title: 'ä'.repeat(MAX_DOCUMENT_BYTES / 2) });
    expect(messagesOf(text)).toEqual([expect.stringMatching(/found \d+ bytes, expected at most 65536 bytes of JSON/)]);
    expect(messagesOf('['.repeat(10_000_000))).toEqual([expect.stringContaining('found at least 10000000 bytes')]);
  });

  it('are 16 levels', () => {
    expect(messagesOf('['.repeat(60_000))).toEqual([expect.stringContaining('found level 17 of nesting, expected at most 16 levels')]);
    expect(messagesOf(`{"a":`.repeat(5000))).toEqual([expect.stringContaining('found level 17 of nesting')]);
    expect(messagesOf(`${'['.repeat(16)}${']'.repeat(16)}`)).toEqual([expect.stringContaining('found a list, expected an object')]);
  });

  it('are 100 steps and 200 tasks', () => {
    expect(messagesOf({ run: Array.from({ length: MAX_STEPS + 1 }, () => ({ cmd: 'a' })) })).toEqual([
      expect.stringContaining('/run (1:8): found a list of 101, expected a list of 1 to 100'),
    ]);
    const run = [{ parallel: Array.from({ length: 199 }, () => ({ cmd: 'a' })) }, { cmd: 'b' }, { cmd: 'c' }];
    expect(messagesOf({ run })).toEqual([expect.stringContaining('found task 201 of 201, expected at most 200 tasks in all')]);
    expect(faultsOf({ run })[0]?.pointer).toBe('/run/2');
    expect(messagesOf({ run: [{ parallel: Array.from({ length: 201 }, () => ({ cmd: 'a' })) }] })).toHaveLength(1);
  });

  it.each([
    [{ timeout: 0 }, 'found the number 0, expected a whole number from 1 to 14400.'],
    [{ timeout: MAX_TIMEOUT_S + 1 }, 'found the number 14401'],
    [{ timeout: 1.5 }, 'found the number 1.5, expected a whole number from 1 to 14400; write a whole number such as 2.'],
    [{ timeout: null }, 'found null, expected a whole number from 1 to 14400; leave it out for its default.'],
    [{ timeout: '1m' }, 'found the text "1m", expected a whole number from 1 to 14400.'],
    [{ timeout: [60] }, 'found a list'],
    [{ wait_for: -1 }, 'found the number -1, expected a whole number from 0 to 86400.'],
    [{ wait_for: MAX_WAIT_S + 1 }, 'found the number 86401'],
    [{ retries: 21 }, 'expected a whole number from 0 to 20'],
    [{ no_output: 'true' }, 'found the text "true", expected true or false; write true without quotes.'],
    [{ no_output: 'False' }, 'write false without quotes'],
    [{ no_output: 1 }, 'found the number 1, expected true or false; write true without quotes.'],
    [{ name: 5 }, 'found the number 5, expected a text of at most 200 characters; write it in double quotes.'],
    [{ name: 'x'.repeat(201) }, 'found a text of 201 characters, expected a text of at most 200 characters.'],
    [
      { machine: 'dyno_size' },
      'expected the name of a dyno size such as basic or standard-1x; dyno_size only stands for a size: write "basic".',
    ],
    [{ machine: '' }, 'expected the name of a dyno size'],
    [{ machine: 1 }, 'found the number 1'],
    [{ cmd: '' }, 'found a blank text, expected a process type of the Procfile, or a command.'],
    [{ cmd: ' \n\t' }, 'found a blank text'],
    [{ cmd: 'a\0b' }, 'found a NUL character, expected a command without one'],
    [{ cmd: ['python', 'x.py'] }, 'found a list, expected the command as one text; write it as in a shell'],
    [{ cmd: 1 }, 'found the number 1, expected a text of 1 to 8192 characters; write it in double quotes.'],
    [{ cmd: 'x'.repeat(8193) }, 'found a text of 8193 characters'],
    [{ options: 'a=b' }, 'found the text "a=b", expected a list of "name=value" texts; write ["a=b"].'],
    [{ options: { a: 'b' } }, 'found an object, expected a list of "name=value" texts; write ["a=b"].'],
    [{ options: {} }, 'found an object'],
    [{ options: [1] }, '/run/0/options/0'],
    [{ options: ['a'] }, 'write "a=" with the value behind it'],
    [{ options: ['a: b'] }, 'write = between name and value'],
    [
      { options: ['a-b=1'] },
      'found the name "a-b", expected "name=value" with a name of letters, digits and _ that does not begin with a digit; did you mean a_b?',
    ],
    [{ options: ['1a=1'] }, 'found the name "1a"'],
    [{ options: ['=1'] }, 'found the name ""'],
    [{ options: ['ä=1'] }, 'found the name "ä"'],
    [{ options: [' a=1'] }, 'did you mean a?'],
    [{ options: ['a=\0'] }, 'found a NUL character'],
    [{ options: ['a=1', 'b=1', 'a=2'] }, '/run/0/options/2'],
    [{ options: ['a=1', 'a=1'] }, 'found the name "a" a second time, expected each name once; remove one of them.'],
    [{ options: Array.from({ length: 101 }, (_, at) => `a${at}=1`) }, 'found a list of 101, expected a list of at most 100.'],
    [{ options: [`a=${'x'.repeat(32_768)}`] }, 'found a text of 32770 characters'],
    [{ backoff: 'fixed' }, 'found the text "fixed", expected an object'],
    [{ backoff: {} }, 'found no "type", expected "type", "fixed" or "exponential".'],
    [{ backoff: { type: 'expo' } }, 'expected "fixed" or "exponential"; did you mean "exponential"?'],
    [{ backoff: { type: 'fixed', delay: '5' } }, 'write 5 without quotes'],
    [
      { backoff: { type: 'fixed', delay: 5, max: 1 } },
      '/run/0/backoff/max (1:62): found 1, which is less than "delay", expected at least the delay.',
    ],
    [{ backoff: { type: 'fixed', base: 1 } }, 'found the unknown field "base", expected one of type, delay, max.'],
  ])('refuse the task %j', (fields, message) => {
    expect(taskMessages(fields)).toEqual([expect.stringContaining(message)]);
  });

  it.each(REFUSED_OPTION_NAMES.map((name) => [name.replace('*', 'X')]))('refuse the option %s', (name) => {
    expect(taskMessages({ options: [`${name}=1`] })).toEqual([
      expect.stringContaining(`found the name "${name}", expected a name that is not reserved; choose another name.`),
    ]);
  });

  it.each([
    ['LD_PRELOAD'],
    ['LD_LIBRARY_PATH'],
    ['LD_AUDIT'],
    ['LD_S3_BUCKET'],
    ['line_D'],
    ['GIT_SSH_COMMAND'],
    ['BASH_FUNC_x'],
    ['AWS_ENDPOINT_URL_S3'],
    ['npm_config_script_shell'],
  ])('refuse the option %s', (name) => {
    expect(taskMessages({ options: [`${name}=1`] })).toHaveLength(1);
  });
});

describe('unknown fields', () => {
  it.each([
    [{ run: [{ comand: 'a' }] }, '/run/0/comand', '"cmd"'],
    [{ run: [{ command: 'a' }] }, '/run/0/command', '"cmd"'],
    [{ run: [{ CMD: 'a' }] }, '/run/0/CMD', '"cmd"'],
    [{ run: [{ cmd: 'a', timout: 1 }] }, '/run/0/timout', '"timeout"'],
    [{ run: [{ cmd: 'a', noOutput: true }] }, '/run/0/noOutput', '"no_output"'],
    [{ run: [{ cmd: 'a', 'wait-for': 1 }] }, '/run/0/wait-for', '"wait_for"'],
    [{ run: [{ cmd: 'a', dyno_size: 'basic' }] }, '/run/0/dyno_size', '"machine"'],
    [{ run: [{ cmd: 'a', env: [] }] }, '/run/0/env', '"options"'],
    [{ run: [{ cmd: 'a', retry: 1 }] }, '/run/0/retry', '"retries"'],
    [{ run: [{ cmd: 'a', title: 'x' }] }, '/run/0/title', '"name"'],
    [{ run: [{ paralel: [{ cmd: 'a' }] }] }, '/run/0/paralel', '"parallel"'],
    [{ run: [{ tasks: [{ cmd: 'a' }] }] }, '/run/0/tasks', '"parallel"'],
    [{ steps: [{ cmd: 'a' }] }, '/steps', '"run"'],
    [{ name: 'x', run: [{ cmd: 'a' }] }, '/name', '"title"'],
    [{ titel: 'x', run: [{ cmd: 'a' }] }, '/titel', '"title"'],
  ])('of %j are guessed', (document, pointer, word) => {
    const faults = faultsOf(document);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatchObject({ pointer, hint: `did you mean ${word}?` });
    expect(faults[0]?.message).toContain(`found the unknown field`);
  });

  it.each([['__proto__'], ['constructor'], ['toString'], ['hasOwnProperty'], ['x'], ['']])(
    'such as %j are refused and harmless',
    (name) => {
      for (const text of [`{"run":[{"cmd":"a",${JSON.stringify(name)}:{"a":1}}]}`, `{"run":[{"cmd":"a"}],${JSON.stringify(name)}:1}`]) {
        expect(messagesOf(text)).toEqual([expect.stringContaining(`found the unknown field ${JSON.stringify(name)}, expected one of`)]);
      }
      expect({}).not.toHaveProperty('a');
    },
  );
});

describe('entries', () => {
  it.each([
    [{}, 'found no "run", expected "run", a list of 1 to 100.'],
    [{ run: [] }, '/run (1:8): found an empty list, expected a list of 1 to 100.'],
    [{ run: { cmd: 'a' } }, 'found an object, expected a list of tasks and task groups; write […] around it.'],
    [{ run: 'a' }, 'found the text "a", expected a list of 1 to 100.'],
    [{ run: ['echo a'] }, 'found the text "echo a", expected a task or a task group; write {"cmd": "echo a"}.'],
    [{ run: [[{ cmd: 'a' }]] }, 'found a list, expected a task or a task group; tasks that run in parallel are written {"parallel": […]}.'],
    [{ run: [null] }, 'found null, expected a task or a task group.'],
    [{ run: [{}] }, 'found an entry with neither "cmd" nor "parallel", expected "cmd" for a task or "parallel" for a task group.'],
    [{ run: [{ name: 'x' }] }, 'found an entry with neither "cmd" nor "parallel"'],
    [
      { run: [{ cmd: 'a', parallel: [{ cmd: 'a' }] }] },
      'found both "cmd" and "parallel" in one entry, expected one of them; a task has "cmd", a task group has "parallel": make two entries of it.',
    ],
    [{ run: [{ parallel: [] }] }, '/run/0/parallel (1:21): found an empty list, expected a list of 1 to 200.'],
    [{ run: [{ parallel: { cmd: 'a' } }] }, 'found an object, expected a list of tasks; write […] around it.'],
    [{ run: [{ parallel: null }] }, 'found null'],
    [{ run: [{ parallel: ['a'] }] }, '/run/0/parallel/0 (1:22): found the text "a", expected a task; write {"cmd": "a"}.'],
    [{ run: [{ parallel: [{ name: 'x' }] }] }, 'found a task without "cmd"'],
    [{ run: [{ parallel: [{ cmd: 'a', timeout: '5' }] }] }, '/run/0/parallel/0/timeout'],
    [
      { run: [{ parallel: [{ parallel: [{ cmd: 'a' }] }] }] },
      '/run/0/parallel/0/parallel (1:23): found a task group inside a task group, expected a task with "cmd"; groups do not nest: put the inner tasks into this group, or make the inner group a step of its own.',
    ],
    [
      { run: [{ parallel: [{ cmd: 'a' }], machine: 'basic' }] },
      'found the unknown field "machine", expected one of name, parallel; a task group has only a name and tasks: write "machine" into each of its tasks.',
    ],
  ])('such as %j are explained', (document, message) => {
    expect(messagesOf(document)).toEqual([expect.stringContaining(message)]);
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
