// Loads the Lua transitions and gives each a typed face. A script's own header names its keys and arguments.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ChainableCommander, Redis } from 'ioredis';
import { nodesOf } from './connection.ts';

const folder = new URL('./lua/', import.meta.url);
const read = (name: string) => readFileSync(new URL(`${name}.lua`, folder), 'utf8');
const prelude = read('prelude');
const budgetPrelude = prelude + read('budget');

/** How many keys each script takes. */
export const KEY_COUNTS = {
  layout: 1,
  accept: 9,
  planned: 1,
  enter: 8,
  recheck: 4,
  launched: 7,
  refused: 3,
  deliver: 7,
  observe: 5,
  cancel: 5,
  finish: 3,
  ring: 4,
  quarantine: 3,
  prune: 2,
  granted: 4,
  'budget-request': 1,
  'budget-grant': 1,
  'budget-release': 1,
  'budget-charge': 1,
  'budget-observe': 1,
  'budget-pause': 1,
  'budget-forget': 1,
  'budget-limit': 1,
  'budget-idle': 1,
  'budget-outlook': 1,
  beat: 1,
  raise: 1,
  redo: 3,
  restore: 9,
  archived: 6,
  'give-up-export': 4,
  'set-export-apart': 3,
  retire: 4,
  'purge-runs': 3,
  list: 1,
  inspect: 1,
  launches: 1,
  resource: 1,
  'resource-merge': 1,
  rate: 1,
  'note-act': 1,
  'note-delivery': 3,
  'add-webhook': 1,
  'rewrap-webhook': 1,
  'claim-sweeps': 1,
  tried: 1,
  clock: 1,
} as const;

export type ScriptName = keyof typeof KEY_COUNTS;
type Argument = string | number | Buffer;
type Strings<Count extends number, Found extends readonly string[] = readonly []> = Found['length'] extends Count
  ? Found
  : Strings<Count, readonly [...Found, string]>;
/** As many keys as the script takes. */
type KeysOf<Name extends ScriptName> = Strings<(typeof KEY_COUNTS)[Name]> & readonly string[];

interface Script {
  readonly lua: string;
  /** Redis' name for it. */
  readonly sha: string;
}

const scripts = new Map<string, Script>(
  Object.keys(KEY_COUNTS).map((name) => {
    const lua = (name.startsWith('budget-') ? budgetPrelude : prelude) + read(name);
    return [name, { lua, sha: createHash('sha1').update(lua).digest('hex') }];
  }),
);

function scriptOf(name: ScriptName): Script {
  const script = scripts.get(name);
  if (script === undefined) throw new TypeError(`there is no script ${name}`);
  return script;
}

/**
 * Runs a script and answers with its reply. Sent as EVALSHA by hand: a command that ioredis makes of a script (`defineCommand`) costs a worker twice
 * as much as any other.
 */
export async function run<Name extends ScriptName>(
  redis: Redis,
  name: Name,
  keys: KeysOf<Name>,
  args: readonly Argument[],
): Promise<unknown> {
  const { lua, sha } = scriptOf(name);
  try {
    return await redis.evalsha(sha, KEY_COUNTS[name], ...keys, ...args);
  } catch (error) {
    if (!isScriptUnknown(error)) throw error;
    return await redis.eval(lua, KEY_COUNTS[name], ...keys, ...args);
  }
}

const commandOf = (name: ScriptName) => `autofiles_${name}`;

/**
 * Makes scripts commands of a connection, for `queue` on it: within a MULTI ioredis sends the first use on a socket as EVAL. It copies every command
 * that was made so into each MULTI of the connection.
 */
export function defineScripts(redis: Redis, names: readonly ScriptName[]): void {
  for (const name of names) redis.defineCommand(commandOf(name), { numberOfKeys: KEY_COUNTS[name], lua: scriptOf(name).lua });
}

/** Puts a script into a pipeline or MULTI of a connection that has it (`defineScripts`). */
export function queue<Name extends ScriptName>(
  pipeline: ChainableCommander,
  name: Name,
  keys: KeysOf<Name>,
  args: readonly Argument[],
): void {
  // commands that defineCommand adds at run time are unknown to the types
  const command: unknown = Reflect.get(pipeline, commandOf(name));
  if (typeof command !== 'function') throw new TypeError(`script ${name} is not defined on this connection`);
  const names: readonly string[] = keys;
  Reflect.apply(command, pipeline, [...names, ...args]);
}

/** Whether Redis did not know a script: after SCRIPT FLUSH, or when it was sent within a MULTI that was aborted. */
export function isScriptUnknown(error: unknown): boolean {
  return error instanceof Error && error.message.includes('NOSCRIPT');
}

/**
 * Makes Redis know every script that is a command of this connection, ours and BullMQ's. Outside a MULTI ioredis does that by itself; inside
 * one it takes the first use on a socket for proof, whether that MULTI was executed or not.
 */
export async function loadScripts(redis: Redis): Promise<void> {
  // what defineCommand made; ioredis' types leave the members out
  const defined = Object.values(redis.scriptsSet) as readonly { lua: string }[];
  for (const node of nodesOf(redis)) {
    const pipeline = node.pipeline();
    for (const { lua } of defined) pipeline.script('LOAD', lua);
    for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
  }
}
