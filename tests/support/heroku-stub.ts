// A dyno platform that does what its commands' scripts say, over the real wire, and notes every launch on disk before it
// answers: the ledger that counts, whatever dies.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { readMarker } from '../../src/schema/command.ts';

export interface LedgerEntry {
  readonly taskId: string;
  readonly attempt: number;
}

/** What a dyno does with its life, after its launch was noted and before it is answered. */
export type DynoScript = (dyno: {
  readonly taskId: string;
  readonly attempt: number;
  readonly bucket: string;
  /** Writes the output `ms` from now, however often the store must be asked. */
  output(ms: number): void;
  exit(ms: number, status: number): void;
}) => Promise<void> | void;

interface StubDyno {
  readonly id: string;
  readonly name: string;
  readonly command: string;
  readonly size: string;
  readonly created_at: string;
  readonly log: string[];
  alive: boolean;
}

export interface HerokuStub {
  readonly url: string;
  /** Every launch so far, as it is on disk. */
  ledger(): readonly LedgerEntry[];
  stopped(): readonly string[];
  close(): Promise<void>;
}

/** Starts the platform. `put` writes an object as a dyno would. */
export async function startHerokuStub(deps: {
  ledgerFile: string;
  scripts: Readonly<Record<string, DynoScript>>;
  put: (bucket: string, taskId: string) => Promise<void>;
}): Promise<HerokuStub> {
  const file = openSync(deps.ledgerFile, 'a');
  const dynos = new Map<string, StubDyno>();
  const stopped: string[] = [];
  const timers = new Set<NodeJS.Timeout>();
  let vars: Record<string, string> = {};
  let number = 0;

  const later = (ms: number, work: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, ms);
    timers.add(timer);
  };
  const note = (dyno: StubDyno, text: string) => dyno.log.push(`${new Date().toISOString()} heroku[${dyno.name}]: ${text}`);
  const end = (dyno: StubDyno, status: number) => {
    if (!dyno.alive) return;
    dyno.alive = false;
    note(dyno, `Process exited with status ${status}`);
    note(dyno, 'State changed from up to complete');
  };
  const write = (bucket: string, taskId: string, ms: number): void =>
    later(ms, () => {
      deps.put(bucket, taskId).catch(() => write(bucket, taskId, 100));
    });
  const shown = ({ log: _log, alive: _alive, ...dyno }: StubDyno) => ({ ...dyno, state: 'up', type: 'run' });

  const launch = async (body: { command: string; size: string; env: Record<string, string> }) => {
    const marker = readMarker(body.command);
    if (marker === undefined) throw new Error(`no marker in ${body.command}`);
    writeSync(file, `${JSON.stringify(marker)}\n`);
    fsyncSync(file);
    number += 1;
    const { command, size } = body;
    const dyno: StubDyno = {
      id: randomUUID(),
      name: `run.${number}`,
      command,
      size,
      created_at: new Date().toISOString(),
      log: [],
      alive: true,
    };
    dynos.set(dyno.id, dyno);
    note(dyno, 'State changed from starting to up');
    const script = deps.scripts[command.split(' ')[0] ?? ''];
    if (script === undefined) throw new Error(`no script for ${command}`);
    const bucket = body.env['LD_S3_BUCKET'] ?? '';
    await script({
      ...marker,
      bucket,
      output: (ms) => write(bucket, marker.taskId, ms),
      exit: (ms, status) => later(ms, () => end(dyno, status)),
    });
    return shown(dyno);
  };

  const answer = async (request: IncomingMessage): Promise<unknown> => {
    const path = (request.url ?? '').split('/').slice(1);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const body = text === '' ? {} : JSON.parse(text);
    if (path[0] === 'logs') return [...dynos.values()].find(({ name }) => name === path[1])?.log.join('\n') ?? '';
    if (path[2] === 'config-vars') {
      if (request.method === 'PATCH') vars = { ...vars, ...body };
      return vars;
    }
    if (path[2] === 'log-sessions') return { logplex_url: `${url}/logs/${body.dyno}` };
    if (path[2] === 'dynos' && path[4] === 'actions') {
      const dyno = dynos.get(path[3] ?? '');
      stopped.push(path[3] ?? '');
      if (dyno !== undefined) end(dyno, 143);
      return {};
    }
    if (path[2] === 'dynos' && request.method === 'POST') return await launch(body);
    if (path[2] === 'dynos') return [...dynos.values()].filter(({ alive }) => alive).map(shown);
    throw new Error(`${request.method} ${request.url} is not scripted`);
  };

  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    answer(request).then(
      (body) => {
        response.setHeader('content-type', typeof body === 'string' ? 'text/plain' : 'application/json');
        response.end(typeof body === 'string' ? body : JSON.stringify(body));
      },
      (error: unknown) => {
        response.statusCode = 500;
        response.end(JSON.stringify({ id: 'stub', message: String(error) }));
      },
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;

  return {
    url,
    ledger: () =>
      readFileSync(deps.ledgerFile, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
    stopped: () => stopped,
    close: async () => {
      for (const timer of timers) clearTimeout(timer);
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      closeSync(file);
    },
  };
}
