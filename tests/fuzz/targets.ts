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

export interface Target {
  readonly name: string;
  readonly samples: readonly string[];
  /** Inputs that were too slow once, read each time. */
  readonly hostile?: readonly string[];
  /** Reads one input. Throws what is a fault of the reader. */
  read(text: string): void;
}

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
];

/** Bytes of all headers together, as Node reads them. */
const MAX_HEADER = 16_384;
const names = ['ld_run', 'ld_code', 'ld_task_id', 'ld_state', 'LD-RUN', 'ld-code', '__proto__', 'x'];

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
    read: (text) => {
      const parsed = parseWorkflow(text);
      if (parsed.ok) {
        // what is valid stays valid and means the same when it is written again
        const again = parseWorkflow(JSON.stringify(parsed.workflow));
        if (!again.ok || JSON.stringify(again.plan) !== JSON.stringify(parsed.plan))
          throw new Error('means something else when it is written again');
      } else if (parsed.faults.length === 0) throw new Error('refused without a fault');
      else
        for (const { message, line, column } of parsed.faults)
          if (message === '' || line < 1 || column < 1) throw new Error('a fault without words or place');
    },
  },
  {
    name: 'event JSON',
    samples: events,
    read: (text) => {
      const parsed = parseEvents(text);
      if (parsed.kind === 'invalid' && parsed.fault === '') throw new Error('refused without words');
      if (parsed.kind === 'events')
        for (const { bucket, key } of parsed.events) if (bucket === '' || key === '') throw new Error('an event without bucket or key');
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
      ...workflows.slice(0, 2),
    ],
    read: (text) => {
      // more than that no HTTP parser lets through as headers, and S3 takes 2 KB
      const value = text.slice(0, MAX_HEADER);
      const name = names[value.length % names.length] ?? '';
      const read = readMetadata({ [name]: value, ld_state: value.slice(0, 200) });
      if (read.taskId !== undefined && parseTaskId(read.taskId) === undefined) throw new Error('a task id that is none');
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
    ],
    read: (text) => {
      const parsed = parseEvents(
        `{"Records":[${record('k').replace('"key":"k"', () => `"key":${JSON.stringify(text)}`)},${record('fine')}]}`,
      );
      // one bad key never takes the others of its message with it
      if (parsed.kind !== 'events' || !parsed.events.some(({ key }) => key === 'fine'))
        throw new Error(`the other record was lost: ${parsed.kind}`);
      if (parsed.events.length + parsed.skipped.length !== 2) throw new Error('a record is nowhere');
    },
  },
  {
    name: 'options',
    samples: ['dir=out', 'LD_PRELOAD=/x.so', '=', 'a b=c', 'NAME=', 'é=1', 'line_D={}', 'X=1=2', 'BASH_FUNC_x%%=() { :; }'],
    read: (text) => {
      const option = readOption(text);
      if ('name' in option && (!/^[A-Za-z_]\w*$/.test(option.name) || option.value.includes('\0') || option.name.startsWith('LD_')))
        throw new Error(`let ${option.name} through`);
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
    ],
    read: (text) => {
      const types = parseProcfile(text);
      for (const [type, command] of types) if (!/^[\w-]+$/.test(type) || command === '') throw new Error('a type that is none');
      expandCommand(text, types);
      const id = 'r0-0123456789abcdefghij.0.0';
      if (readMarker(withMarker(text, id, 7))?.attempt !== 7) throw new Error('the marker is not found again');
    },
  },
  {
    name: '.env',
    samples: ["A='1'\nLD_S3_BUCKET='ld-private-1'\n", 'A=1', "export A='x'", "A='it'\\''s'\nB='2'", "A='\n'"],
    read: (text) => {
      for (const [name, value] of Object.entries(parseEnv(text)))
        if (!/^[A-Za-z_]\w*$/.test(name) || parseEnv(envLine(name, value))[name] !== value) throw new Error('a variable that is none');
    },
  },
];

/** Whether an error is one that a reader may throw: none of these do, but Failures would be its own words. */
export function isOwn(error: unknown): boolean {
  return error instanceof Failure && error.code !== 'internal';
}
