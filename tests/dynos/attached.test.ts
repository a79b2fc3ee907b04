import { existsSync, readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { createExitMarker } from '../../src/local/dynos/exit-marker.ts';
import { findTerminals } from '../../src/local/dynos/terminal-process.ts';
import { type DynoAnswer, eventually, platformWith } from './platform.ts';

interface Client {
  socket: TLSSocket;
  /** Everything received so far. */
  text(): string;
  closed: Promise<void>;
}

const readIfThere = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, 'utf8') : undefined) || undefined;

describe('attached runs', () => {
  const open: { close: () => Promise<void> }[] = [];
  const setup = async (...args: Parameters<typeof platformWith>) => {
    const platform = await platformWith(...args);
    open.push(platform);
    const attach = (url: string, ca = readFileSync(platform.dynos.caFile, 'utf8')): Promise<Client> =>
      new Promise((resolve, reject) => {
        const { hostname, port, pathname } = new URL(url);
        const socket = connect({ host: hostname, port: Number(port), ca }, () => socket.write(`${pathname.slice(1)}\r\n`));
        let text = '';
        const closed = new Promise<void>((done) => socket.once('close', () => done()));
        socket.once('error', reject);
        socket.on('data', (chunk) => {
          text += chunk;
        });
        socket.once('secureConnect', () => resolve({ socket, text: () => text, closed }));
      });
    const run = async (command: string, more: Record<string, unknown> = {}): Promise<{ dyno: DynoAnswer; url: string; client: Client }> => {
      const dyno = await platform.json<DynoAnswer & { attach_url: string }>('POST', '/apps/myapp/dynos', {
        command,
        attach: true,
        force_no_tty: true,
        ...more,
      });
      return { dyno, url: dyno.attach_url, client: await attach(dyno.attach_url) };
    };
    return { ...platform, attach, run };
  };
  afterEach(async () => {
    for (const platform of open.splice(0)) await platform.close();
  });

  it('starts when the client has come, passes input and output, and logs only start and stop', async () => {
    const platform = await setup({});
    const dyno = await platform.json<DynoAnswer & { attach_url: string }>('POST', '/apps/myapp/dynos', {
      command: 'cat; echo end >&2',
      attach: true,
      force_no_tty: true,
    });
    expect(dyno).toMatchObject({
      name: 'run.1',
      state: 'starting',
      attach_url: expect.stringMatching(/^rendezvous:\/\/127\.0\.0\.1:\d+\/[\w-]{43}$/),
    });
    expect(await platform.logs({ dyno: 'run.1' })).toHaveLength(1);
    const client = await platform.attach(dyno.attach_url);
    await eventually('the greeting', () => client.text() === 'rendezvous\r\n');
    client.socket.write('grün\nlast');
    await eventually('the echo', () => client.text().endsWith('grün\nlast'));
    client.socket.write('\u0004');
    await client.closed;
    expect(client.text()).toBe('rendezvous\r\ngrün\nlastend\n');
    expect(await platform.ended('run.1')).toEqual([
      'heroku[run.1]: Awaiting client',
      'heroku[run.1]: Starting process with command `cat; echo end >&2`',
      'heroku[run.1]: State changed from starting to up',
      'heroku[run.1]: Process exited with status 0',
      'heroku[run.1]: State changed from up to complete',
    ]);
  });

  it('gives a pipe as input: /dev/stdin can be opened, and bash does not take it for a remote login', async () => {
    const platform = await setup({ '.bashrc': 'echo sourced\n' });
    const { client } = await platform.run('cat /dev/stdin');
    client.socket.write('through\n');
    await eventually('the echo', () => client.text().endsWith('through\n'));
    client.socket.write('\u0004');
    await client.closed;
    expect(client.text()).toBe('rendezvous\r\nthrough\n');
  });

  it('takes a byte 0x04 at the end of a chunk for data when more follows', async () => {
    const platform = await setup({});
    const { client } = await platform.run('wc -c');
    await eventually('the greeting', () => client.text() === 'rendezvous\r\n');
    // each in a record of its own, so that each is a chunk
    const send = (chunk: Buffer) => new Promise((sent) => client.socket.write(chunk, sent));
    await send(Buffer.alloc(1_000, '\u0004'));
    await send(Buffer.from('\u0004'));
    await send(Buffer.alloc(1_000, 'x'));
    await send(Buffer.from('data\u0004\u0004'));
    await client.closed;
    expect(client.text()).toBe('rendezvous\r\n2006\n');
  });

  it('ends the input at once when the client ends the connection after the byte', async () => {
    const platform = await setup({});
    const { client } = await platform.run(`trap '' HUP; echo ready; wc -c > "${platform.dir}/count"`);
    await eventually('the program reads', () => client.text().endsWith('ready\n'));
    client.socket.end('data\u0004');
    expect(Number(await eventually('the count', () => readIfThere(`${platform.dir}/count`)))).toBe(4);
  });

  it('keeps two attached at once apart, and input that comes with the secret', async () => {
    const platform = await setup({});
    const [one, two] = await Promise.all([platform.run('read line; echo "one $line"'), platform.run('read line; echo "two $line"')]);
    one.client.socket.write('1\n');
    two.client.socket.write('2\n');
    await Promise.all([one.client.closed, two.client.closed]);
    expect([one.client.text(), two.client.text()]).toEqual(['rendezvous\r\none 1\n', 'rendezvous\r\ntwo 2\n']);
  });

  it('lets a secret in once, and no other, and is trusted by its own authority alone', async () => {
    const platform = await setup({});
    const { url, client } = await platform.run('sleep 60');
    await eventually('the greeting', () => client.text() === 'rendezvous\r\n');
    for (const wrong of [url, `${url.slice(0, -43)}${'x'.repeat(43)}`]) {
      const stranger = await platform.attach(wrong);
      await stranger.closed;
      expect(stranger.text()).toBe('');
    }
    await expect(platform.attach(url, '')).rejects.toThrow(/certificate/);
  });

  it('sends SIGHUP when the client goes away', async () => {
    const platform = await setup({});
    const { dyno, client } = await platform.run('trap "exit 5" HUP; echo up; while :; do sleep 0.05; done');
    await eventually('output', () => client.text().endsWith('up\n'));
    client.socket.destroy();
    expect(await platform.ended(dyno.name)).toContain(`heroku[${dyno.name}]: Process exited with status 5`);
  });

  it('gives up a dyno to which nobody attaches, with R13, and one that is stopped before', async () => {
    const platform = await setup({}, { attachMs: 200 });
    const body = { command: 'echo never', attach: true };
    const { name } = await platform.json<DynoAnswer>('POST', '/apps/myapp/dynos', body);
    expect(await platform.ended(name)).toEqual([
      `heroku[${name}]: Awaiting client`,
      `heroku[${name}]: Error R13 (Attach error) -> Failed to attach to process`,
      `heroku[${name}]: Process exited with status 128`,
      `heroku[${name}]: State changed from starting to crashed`,
    ]);
    const patient = await setup({});
    const second = await patient.json<DynoAnswer>('POST', '/apps/myapp/dynos', body);
    await patient.call('POST', `/apps/myapp/dynos/${second.name}/actions/stop`);
    expect((await patient.ended(second.name)).at(-1)).toBe(`heroku[${second.name}]: State changed from starting to complete`);
  });

  it('holds a process whose output the client does not read, and loses nothing', async () => {
    const platform = await setup({});
    const { client } = await platform.run('seq 1 400000');
    client.socket.pause();
    await eventually('it is up', async () => (await platform.list())[0]?.state === 'up');
    client.socket.resume();
    await client.closed;
    const lines = client.text().split('\n');
    expect([lines.length, lines[0], lines.at(-2)]).toEqual([400_002, 'rendezvous\r', '400000']);
  });

  // Writes until nothing takes more for half a second, says how much that was, and ends: what nobody has read is still in the pipe or terminal then.
  const flood = `const { openSync, writeFileSync, writeSync } = require('node:fs');
const out = openSync('/dev/stdout', 1 | require('node:constants').O_NONBLOCK);
let written = 0;
for (let idle = 0; idle < 50; ) {
  try {
    written += writeSync(out, 'x'.repeat(1_000));
    idle = 0;
  } catch (error) {
    if (error.code !== 'EAGAIN') throw error;
    idle += 1;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}
writeFileSync(process.argv[2], written + ' ' + process.ppid);
`;
  it.each([
    ['a pipe', true],
    ['a terminal', false],
  ])('gives the last output of a process that ended at %s while its client was behind', async (_, noTty) => {
    const platform = await setup({ 'flood.cjs': flood });
    const counted = `${platform.dir}/written`;
    const { client } = await platform.run(`'${process.execPath}' flood.cjs '${counted}'; exit 3`, { force_no_tty: noTty });
    client.socket.pause();
    const [written = 0, shell = 0] = (await eventually('it has ended', () => readIfThere(counted))).split(' ').map(Number);
    await eventually('its shell has ended', () => !existsSync(`/proc/${shell}`));
    // a second, in which the end of the first is long dealt with
    await platform.output('sleep 1');
    client.socket.resume();
    await client.closed;
    expect(client.text().length).toBe('rendezvous\r\n'.length + written);
  });

  it('cuts off a process that left the group and goes on writing, and an end that its client does not wait for', async () => {
    const platform = await setup({ 'flood.cjs': flood });
    const endless = await platform.run('setsid sh -c "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxx; done" & echo');
    await endless.client.closed;
    const left = await platform.run(`'${process.execPath}' flood.cjs '${platform.dir}/left'; exit 3`);
    left.client.socket.pause();
    const shell = (await eventually('it has ended', () => readIfThere(`${platform.dir}/left`))).split(' ')[1];
    await eventually('its shell has ended', () => !existsSync(`/proc/${shell}`));
    expect(await platform.list()).toMatchObject([{ name: left.dyno.name, state: 'up' }]);
    await platform.call('POST', `/apps/myapp/dynos/${left.dyno.name}/actions/stop`);
    expect(await platform.ended(left.dyno.name)).toContain(`heroku[${left.dyno.name}]: Process exited with status 3`);
    const stopped = await platform.run('echo up; seq 1 40000000');
    await eventually('it is up', () => stopped.client.text().includes('up'));
    stopped.client.socket.pause();
    await platform.call('POST', `/apps/myapp/dynos/${stopped.dyno.name}/actions/stop`);
    expect(await platform.ended(stopped.dyno.name)).toContain(`heroku[${stopped.dyno.name}]: Process exited with status 143`);
  });

  describe.skipIf(findTerminals() === undefined)('with a pseudo-terminal', () => {
    it('is a terminal of the size that was asked for, with the prompt of Heroku', async () => {
      const platform = await setup({ kept: '' });
      const env = { COLUMNS: 123, LINES: 45, TERM: 'xterm' };
      const { client } = await platform.run('bash', { env, force_no_tty: false });
      await eventually('the prompt', () => client.text().endsWith('~ $ '));
      client.socket.write('stty size; pwd; ls; tty\n');
      await eventually('the answers', () => /45 123\r\n[\s\S]*\r\nkept\r\n\/dev\/\S+\r\n/.test(client.text()));
      client.socket.write('exit\n');
      await client.closed;
    });

    it('takes what comes through a pipe to its end, finished line or not', async () => {
      const platform = await setup({});
      for (const [input, output] of [
        ['one\ntwo\n\u0004', 'one\r\ntwo\r\n'],
        ['one\nunfinished\u0004', 'one\r\nunfinished'],
        ['\u0004', ''],
      ] as const) {
        const { client } = await platform.run('stty -echo; echo ready; exec cat', { force_no_tty: false });
        await eventually('the program reads', () => client.text().endsWith('ready\r\n'));
        client.socket.write(input);
        await client.closed;
        expect(client.text()).toBe(`rendezvous\r\nready\r\n${output}`);
      }
    });

    it('takes a byte 0x04 in the middle of what comes through a pipe as the terminal does, without a second one', async () => {
      const platform = await setup({});
      const { client } = await platform.run('stty -echo; echo ready; exec cat', { force_no_tty: false });
      await eventually('the program reads', () => client.text().endsWith('ready\r\n'));
      await new Promise((sent) => client.socket.write('one\u0004', sent));
      client.socket.write('two\n\u0004');
      await client.closed;
      expect(client.text()).toBe('rendezvous\r\nready\r\nonetwo\r\n');
    });

    it('takes Ctrl-C as a byte: it ends the command, not the shell', async () => {
      const platform = await setup({});
      const { dyno, client } = await platform.run('bash', { force_no_tty: false });
      await eventually('the prompt', () => client.text().endsWith('~ $ '));
      // A program of its own: it has the terminal when it writes. Between a builtin and the next program of a list the byte would reach nobody.
      client.socket.write(`sh -c 'echo st""arted; exec sleep 60'\n`);
      await eventually('the command runs', () => client.text().endsWith('started\r\n'));
      client.socket.write('\u0003');
      await eventually('the prompt again', () => /\^C\r\n[^~]*~ \$ $/.test(client.text()));
      client.socket.write('exit 3\n');
      await client.closed;
      expect(await platform.ended(dyno.name)).toContain(`heroku[${dyno.name}]: Process exited with status 3`);
    });

    it('takes the terminal away with its client: who does not heed SIGHUP reads no more', async () => {
      const platform = await setup({});
      const { dyno, client } = await platform.run(`trap '' HUP; echo ready; while read -r line; do :; done`, { force_no_tty: false });
      await eventually('the reader', () => client.text().includes('ready'));
      client.socket.destroy();
      await platform.ended(dyno.name);
    });

    it('ends the jobs of a shell whose client goes away', async () => {
      const platform = await setup({});
      const { dyno, client } = await platform.run('bash', { force_no_tty: false });
      await eventually('the prompt', () => client.text().endsWith('~ $ '));
      client.socket.write('sleep 61 & echo "pid:$!:"\n');
      const pid = Number(await eventually('a pid', () => /pid:(\d+):/.exec(client.text())?.[1]));
      client.socket.destroy();
      await platform.ended(dyno.name);
      await eventually('the job is gone', () => {
        try {
          process.kill(pid, 0);
          return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
        } catch {
          return true;
        }
      });
    });
  });
});

describe('the exit marker', () => {
  const marked = (status: string) => `\uffff heroku-command-exit-status: ${status}\n`;
  const sent = (chunks: (string | Buffer)[]): string[] => {
    const out: string[] = [];
    const marker = createExitMarker((chunk) => out.push(chunk.toString()));
    for (const chunk of chunks) marker.push(Buffer.from(chunk));
    marker.end();
    return out;
  };

  it('leaves in one write of its own, however the process wrote it', () => {
    const whole = Buffer.from(`out\n${marked('137')}`);
    for (let cut = 1; cut < whole.length; cut += 1) {
      const out = sent([whole.subarray(0, cut), whole.subarray(cut)]);
      expect(out.join('')).toBe(`out\n${marked('137')}`);
      expect(out.at(-1)).toBe(marked('137'));
    }
    expect(sent([...Buffer.from(marked('0'))].map((byte) => Buffer.from([byte])))).toEqual([marked('0')]);
  });

  it('begins a line also when the output did not end one', () => {
    expect(sent(['no newline', marked('3')])).toEqual(['no newline', `\r\n${marked('3')}`]);
  });

  it('holds back nothing that cannot be a marker', () => {
    const out: string[] = [];
    createExitMarker((chunk) => out.push(chunk.toString())).push(Buffer.from('~ $ '));
    expect(out).toEqual(['~ $ ']);
    expect(sent(['a\uffff', 'b']).join('')).toBe('a\uffffb');
  });
});
