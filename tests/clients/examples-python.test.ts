import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunView } from '../../src/schema/run-view.ts';
import { exampleApp, type LocalCloud, startLocalCloud } from '../support/local-cloud.ts';

/** Debian's own python3 and python3-boto3, whatever else the machine has. */
const DEBIAN_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

describe("examples/python-starter with Debian's boto3, unmodified", { timeout: 180_000 }, () => {
  let cloud: LocalCloud;
  beforeAll(async () => {
    cloud = await startLocalCloud({ app: exampleApp('python-starter'), path: DEBIAN_PATH });
    const { status, stdout, stderr } = await cloud.run('python3', ['-c', 'import boto3; print(boto3.__file__)']);
    if (status !== 0) throw new Error(`found no boto3 of Debian's (apt-get install python3-boto3): ${stderr}`);
    expect(stdout).toMatch(/^\/usr\/lib\/python3\//);
  }, 180_000);
  afterAll(async () => {
    await cloud?.stop();
  }, 60_000);

  /** Runs one of the example's scripts with the variables of `.autofiles/env` in the environment, and nothing more. */
  const python = async (...args: string[]) => {
    const { status, stderr } = await cloud.run('python3', args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  };

  it("runs the page's starter_workflow.py", async () => {
    await python('starter_workflow.py');
    const run = await cloud.ended('in/example');
    expect(run).toMatchObject({ state: 'succeeded', title: 'Example 2-step workflow', error: null });
    expect(tasksOf(run).map(({ cmd, state, attempt }) => ({ cmd, state, attempt }))).toEqual([
      { cmd: `bash -c 'echo "Do Step 1"'`, state: 'succeeded', attempt: 1 },
      { cmd: `bash -c 'echo "Do Step 2"'`, state: 'succeeded', attempt: 1 },
    ]);
  });

  it("runs the page's media snippet, whose picture has no bytes by then", async () => {
    await python('process_media.py');
    const run = await cloud.ended('in/img/example_img.jpg');
    expect(run).toMatchObject({ state: 'succeeded', title: 'Process media files', trigger: { size: 0 }, error: null });
    expect(JSON.parse(tasksOf(run)[0]?.output?.state ?? '')).toEqual({ format: null, width: null, height: null });
  });

  it('says how large a real picture is', async () => {
    const upload = [
      'import json, os, sys; from process_media import PROCESS_MEDIA; from utils import setup_s3_client',
      "data = open(sys.argv[1], 'rb')",
      "meta = {'ld_code': json.dumps(PROCESS_MEDIA)}",
      "setup_s3_client().put_object(Body=data, Bucket=os.environ['LD_S3_BUCKET'], Key='in/img/real.jpg', Metadata=meta)",
    ];
    await python('-c', upload.join('\n'), join(exampleApp('thumbnails'), 'picture.jpg'));
    const run = await cloud.ended('in/img/real.jpg');
    expect(JSON.parse(tasksOf(run)[0]?.output?.state ?? '')).toEqual({ format: 'jpeg', width: 1600, height: 1067 });
  });

  it("runs the page's group of three: after the first task's output, all at one time, and before the next step", async () => {
    // Each member waits until all three are there: did they not overlap, none of them would ever write its output.
    const meeting = join(cloud.folder, 'meeting');
    await mkdir(meeting);
    await cloud.write('meet.sh', MEET.replaceAll('MEETING', meeting));
    await cloud.write('Procfile', 'get_data: bash meet.sh python3 get_data.py\nsummarize: python3 summarize.py\n');
    await python('run_workflow.py', 'workflows/get-data.json');
    const run = await cloud.ended('in/get-data.json');

    expect(run).toMatchObject({ state: 'succeeded', error: null });
    const members = ['1.0', '1.1', '1.2'];
    const launches = members.map((member) => placeOf(run, member, 'launched'));
    const outputs = members.map((member) => placeOf(run, member, 'output'));
    for (const member of members) expect(placeOf(run, member, 'intent')).toBeGreaterThan(placeOf(run, '0.0', 'output'));
    expect(Math.max(...launches)).toBeLessThan(Math.min(...outputs));
    for (const member of members) expect(placeOf(run, '2.0', 'intent')).toBeGreaterThan(placeOf(run, member, 'succeeded'));
    expect(tasksOf(run).map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 1]);
    const states = tasksOf(run).map(({ output }) => JSON.parse(output?.state ?? ''));
    expect(states.slice(1, 4)).toMatchObject([
      { endpoint: 'posts', num_records: 100 },
      { endpoint: 'users', num_records: 10 },
      { endpoint: 'comments', num_records: 500 },
    ]);
    expect(states.at(4)).toEqual({ posts: 100, users: 10, comments: 500 });
  });
});

const MEET = `
if [ "$endpoint" != albums ]; then
  touch "MEETING/$endpoint"
  until [ -e MEETING/posts ] && [ -e MEETING/users ] && [ -e MEETING/comments ]; do sleep 0.02; done
fi
exec "$@"
`;

const tasksOf = (run: RunView) => run.steps.flatMap(({ tasks }) => tasks);

/** Where in the history this happened to the task `step.index`. */
function placeOf(run: RunView, task: string, what: string): number {
  const entry = run.history.find((one) => one.task === `${run.id}.${task}` && one.what === what);
  if (entry === undefined) throw new Error(`found no ${what} of task ${task} in ${JSON.stringify(run.history)}`);
  return entry.n;
}
