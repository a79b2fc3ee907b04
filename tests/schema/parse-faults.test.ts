// What is wrong with a document is said with its place, what was found and expected, and how to fix it.
import { describe, expect, it } from 'vitest';
import { faultsOf, messagesOf } from './parsed-document.ts';

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
