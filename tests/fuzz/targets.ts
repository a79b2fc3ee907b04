// Whatever anybody may send us as text, and the function that reads it first. Each either understands or says what is
// wrong; it never throws (but what its documentation names) and never takes long.
import { envLine, parseEnv } from '../../src/cli/env-format.ts';
import { expandCommand, parseProcfile } from '../../src/local/dynos/procfile.ts';
import { readMarker, withMarker } from '../../src/schema/command.ts';
import { Failure } from '../../src/schema/failures.ts';
import { parseTaskId } from '../../src/schema/ids.ts';
import { readMetadata } from '../../src/schema/metadata.ts';
import { readOption } from '../../src/schema/option-entry.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { parseEvents } from '../../src/schema/s3-event.ts';

/** What a reader made of one input; it may have taken one part and refused another. `what` in few words, for the table of samples. */
export interface Reading {
  readonly took: boolean;
  readonly refused: boolean;
  readonly what: string;
}

export interface Target {
  readonly name: string;
  readonly samples: readonly string[];
  /** What each sample reads as, untouched: a reader that refuses everything, or takes everything, is no sound one. */
  readonly reads: readonly string[];
  /** Inputs that were too slow once, read each time. */
  readonly hostile?: readonly string[];
  /** Reads one input. Throws what is a fault of the reader. */
  read(text: string): Reading;
}

const taken = (what: string): Reading => ({ took: true, refused: false, what });
const refused = (what: string): Reading => ({ took: false, refused: true, what });

const workflows = [
  '{"title":"Example","run":[{"cmd":"bash -c \'echo 1\'","machine":"basic","no_output":true},{"cmd":"work","timeout":30}]}',
  '{"run":[{"name":"A","cmd":"process_name","options":["dir=out","model=x"]},{"name":"G","parallel":[{"cmd":"get_data"},{"cmd":"b","retries":5,"backoff":{"type":"exponential","delay":10,"max":300}}]}]}',
  '{"run":[{"cmd":"import","timeout":900,"wait_for":60}],"$schema":"https://x"}',
  "{'run': [{'cmd': 'python', 'no_output': True}]}",
  '[1,2.5e10,-0,null,true,false,"\\u00e9\\n"]',
  `{"run":[${Array.from({ length: 30 }, () => '{"cmd":"a"}').join(',')}]}`,
  '{"run":[{"parallel":[{"cmd":"a"}]}]}',
];

const record = (key: string) =>
  `{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-11-29T00:00:00.000Z","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"ld-private-1"},"object":{"key":"${key}","size":5,"eTag":"d41d8","versionId":"v1","sequencer":"0055AED6DCD90281E5"}}}`;
const events = [
  `{"Records":[${record('in/a+b%20c.json')}]}`,
  `{"Records":[${record('out/x')},${record('%E0%A4%A')},${record('a%2')}]}`,
  '{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-29T00:00:00.000Z","Bucket":"b"}',
  '{"version":"0","id":"1","detail-type":"Object Created","source":"aws.s3","time":"2026-11-29T00:00:00Z","region":"us-east-1","detail":{"version":"0","bucket":{"name":"b"},"object":{"key":"k","size":5,"etag":"e","version-id":"v","sequencer":"00"},"reason":"PutObject"}}',
  `{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:us-east-1:1:t","Message":${JSON.stringify(`{"Records":[${record('k')}]}`)}}`,
  `{"EventName":"s3:ObjectCreated:Put","Key":"b/k","Records":[${record('k')}]}`,
  '{"Records":"none"}',
];

/** Bytes of all headers together, as Node reads them. */
const MAX_HEADER = 16_384;
const names = ['ld_run', 'ld_code', 'ld_task_id', 'ld_state', 'LD-RUN', 'ld-code', '__proto__', 'x'];

/** What one text reads as under every name, in the words of the target below. */
function metadata({ run, taskId, text, faults }: { run?: string; taskId?: string; text: string; faults: number }): string {
  return [
    ...(run === undefined ? [] : [`ld_run: run ${run}`]),
    `ld_code: code ${text}`,
    ...(taskId === undefined ? [] : [`ld_task_id: taskId ${taskId}`]),
    `ld_state: state ${text}`,
    ...(run === undefined ? [] : [`LD-RUN: run ${run}`]),
    `ld-code: code ${text}`,
    `${faults} faults`,
  ].join('; ');
}

/** Characters of a hostile input: what a workflow may have. */
const LARGE = 65_000;

export const TARGETS: readonly Target[] = [
  {
    name: 'workflow JSON',
    hostile: [
      '\n'.repeat(LARGE),
      `{"run":[{"parallel":[${'{},'.repeat(LARGE / 4)}{}]}]}`,
      `{${'"a":1,'.repeat(LARGE / 7)}"b":2}`,
      '['.repeat(LARGE),
    ],
    samples: workflows,
    reads: [
      "1 1: bash -c 'echo 1'",
      '1 2: process_name',
      '1: import',
      'The document (1:2): found a text in single quotes, expected double quotes; this looks like a Python dict; send json.dumps(workflow).',
      'The document (1:1): found a list, expected an object with "run"; write {"run": […]} around the list.',
      `${'1 '.repeat(29)}1: a`,
      '1: a',
    ],
    read: (text) => {
      const parsed = parseWorkflow(text);
      if (parsed.ok) {
        // what is valid stays valid and means the same when it is written again
        const again = parseWorkflow(JSON.stringify(parsed.workflow));
        if (!again.ok || JSON.stringify(again.plan) !== JSON.stringify(parsed.plan))
          throw new Error('means something else when it is written again');
        return taken(`${parsed.plan.steps.map(({ tasks }) => tasks.length).join(' ')}: ${parsed.plan.steps[0]?.tasks[0]?.cmd}`);
      }
      if (parsed.faults.length === 0) throw new Error('refused without a fault');
      for (const { message, line, column } of parsed.faults)
        if (message === '' || line < 1 || column < 1) throw new Error('a fault without words or place');
      return refused(parsed.faults[0]?.message ?? '');
    },
  },
  {
    name: 'event JSON',
    samples: events,
    reads: [
      'ld-private-1/in/a b c.json#v1',
      'ld-private-1/out/x#v1; Records[1]: the key "%E0%A4%A" is not form-url-encoded; Records[2]: the key "a%2" is not form-url-encoded',
      'test',
      'b/k#v',
      'ld-private-1/k#v1',
      'ld-private-1/k#v1',
      'the message: found an object with Records, expected an S3 notification with Records, an EventBridge event or an SNS notification of one',
    ],
    read: (text) => {
      const parsed = parseEvents(text);
      if (parsed.kind === 'test') return taken('test');
      if (parsed.kind === 'invalid') {
        if (parsed.fault === '') throw new Error('refused without words');
        return refused(parsed.fault);
      }
      for (const { bucket, key } of parsed.events) if (bucket === '' || key === '') throw new Error('an event without bucket or key');
      return {
        took: parsed.events.length > 0,
        refused: parsed.skipped.length > 0,
        what: [
          ...parsed.events.map(({ bucket, key, versionId }) => `${bucket}/${key}#${versionId}`),
          ...parsed.skipped.map(({ reason }) => reason),
        ].join('; '),
      };
    },
  },
  {
    name: 'metadata',
    samples: [
      'true',
      '1',
      'yes',
      'r0-0123456789abcdefghij.0.0',
      '=?utf-8?B?w6k=?=',
      '=?UTF-8?Q?=C3=A9_x?=',
      'Ã©',
      'done',
      ...workflows.slice(0, 1),
    ],
    reads: [
      metadata({ run: 'true', text: 'true', faults: 1 }),
      metadata({ run: 'true', text: '1', faults: 1 }),
      metadata({ run: 'true', text: 'yes', faults: 1 }),
      metadata({ taskId: 'r0-0123456789abcdefghij.0.0', text: 'r0-0123456789abcdefghij.0.0', faults: 2 }),
      metadata({ text: 'é', faults: 3 }),
      metadata({ text: 'é x', faults: 3 }),
      metadata({ text: 'é', faults: 3 }),
      metadata({ text: 'done', faults: 3 }),
      metadata({ text: workflows[0] ?? '', faults: 3 }),
    ],
    read: (text) => {
      // more than that no HTTP parser lets through as headers, and S3 takes 2 KB
      const value = text.slice(0, MAX_HEADER);
      const found: string[] = [];
      let faults = 0;
      for (const name of names) {
        const read = readMetadata({ [name]: value });
        if (read.taskId !== undefined && parseTaskId(read.taskId) === undefined) throw new Error('a task id that is none');
        if (read.faults.includes('')) throw new Error('refused without words');
        faults += read.faults.length;
        const { faults: _faults, run, ...texts } = read;
        for (const [field, read] of Object.entries({ ...(run ? { run } : {}), ...texts })) found.push(`${name}: ${field} ${read}`);
      }
      // any text may be a workflow or a state; a run and a task are told by few
      const took = found.some((one) => one.includes(': run ') || one.includes(': taskId '));
      return { took, refused: !took, what: [...found, `${faults} faults`].join('; ') };
    },
  },
  {
    name: 'keys',
    samples: [
      'in/a+b%20c.json',
      'out/r0-0123456789abcdefghij.0.0',
      '../../etc/passwd',
      'in//x',
      'IN/é/e\u0301',
      `k/${'x'.repeat(1_000)}`,
      '%2e%2e%2f',
      '+++',
      'a%2',
    ],
    reads: [
      'in/a b c.json',
      'out/r0-0123456789abcdefghij.0.0',
      '../../etc/passwd',
      'in//x',
      'IN/é/e\u0301',
      `k/${'x'.repeat(1_000)}`,
      '../',
      '   ',
      'Records[0]: the key "a%2" is not form-url-encoded',
    ],
    read: (text) => {
      const parsed = parseEvents(
        `{"Records":[${record('k').replace('"key":"k"', () => `"key":${JSON.stringify(text)}`)},${record('fine')}]}`,
      );
      // one bad key never takes the others of its message with it
      if (parsed.kind !== 'events' || !parsed.events.some(({ key }) => key === 'fine'))
        throw new Error(`the other record was lost: ${parsed.kind}`);
      if (parsed.events.length + parsed.skipped.length !== 2) throw new Error('a record is nowhere');
      const [other] = parsed.skipped;
      return other === undefined ? taken(parsed.events[0]?.key ?? '') : refused(other.reason);
    },
  },
  {
    name: 'options',
    samples: ['dir=out', 'LD_PRELOAD=/x.so', '=', 'a b=c', 'NAME=', 'é=1', 'line_D={}', 'X=1=2', 'BASH_FUNC_x%%=() { :; }'],
    reads: [
      'dir is out',
      'found the name "LD_PRELOAD"',
      'found the name ""',
      'found the name "a b"',
      'NAME is ',
      'found the name "é"',
      'found the name "line_D"',
      'X is 1=2',
      'found the name "BASH_FUNC_x%%"',
    ],
    read: (text) => {
      const option = readOption(text);
      if (!('name' in option)) return refused(`found ${option.found}`);
      if (!/^[A-Za-z_]\w*$/.test(option.name) || option.value.includes('\0') || option.name.startsWith('LD_'))
        throw new Error(`let ${option.name} through`);
      return taken(`${option.name} is ${option.value}`);
    },
  },
  {
    name: 'commands and Procfile',
    hostile: [`web: node${' '.repeat(LARGE)}x`, `echo ${'\\'.repeat(LARGE)}x`, `cat <<EOF\nhello${'\\'.repeat(LARGE)}x\nEOF`],
    samples: [
      'web: node server.mjs\nworker: python dowork.py\n# comment\n\nrelease:  ./x  ',
      'web:node\r\nbad line\n_x-1: y',
      'cat <<EOF\nhello\nEOF',
      'bash -c \'echo "$A"\' # r0-0123456789abcdefghij.0.0/1',
      'a\\\nb',
      'cat <<-"E F"\n\tx',
      'web: node server.mjs\n',
    ],
    reads: [
      'web is node server.mjs; worker is python dowork.py; release is ./x',
      'web is node; _x-1 is y',
      '',
      'marked r0-0123456789abcdefghij.0.0/1',
      '',
      '',
      'web is node server.mjs',
    ],
    read: (text) => {
      const types = parseProcfile(text);
      for (const [type, command] of types) if (!/^[\w-]+$/.test(type) || command === '') throw new Error('a type that is none');
      expandCommand(text, types);
      const [first] = types;
      if (first !== undefined && expandCommand(` ${first[0]} 42`, types) !== ` ${first[1]} 42`)
        throw new Error('a type that is not found again');
      const id = 'r0-0123456789abcdefghij.0.0';
      if (readMarker(withMarker(text, id, 7))?.attempt !== 7) throw new Error('the marker is not found again');
      const own = readMarker(text);
      const what = [...types].map(([type, command]) => `${type} is ${command}`).join('; ');
      return {
        took: types.size > 0 || own !== undefined,
        refused: types.size === 0,
        what: own === undefined ? what : `${what}marked ${own.taskId}/${own.attempt}`,
      };
    },
  },
  {
    name: '.env',
    samples: ["A='1'\nLD_S3_BUCKET='ld-private-1'\n", 'A=1', "export A='x'", "A='it'\\''s'\nB='2'", "A='\n'"],
    reads: ['A is 1; LD_S3_BUCKET is ld-private-1', '', '', "A is it's; B is 2", 'A is \n'],
    read: (text) => {
      const read = Object.entries(parseEnv(text));
      for (const [name, value] of read)
        if (!/^[A-Za-z_]\w*$/.test(name) || parseEnv(envLine(name, value))[name] !== value) throw new Error('a variable that is none');
      return { took: read.length > 0, refused: read.length === 0, what: read.map(([name, value]) => `${name} is ${value}`).join('; ') };
    },
  },
];

/** Whether an error is one that a reader may throw: none of these do, but Failures would be its own words. */
export function isOwn(error: unknown): boolean {
  return error instanceof Failure && error.code !== 'internal';
}
