// Loads the Lua transitions and gives each a typed face. A script's own header names its keys and arguments.
import { readFileSync } from 'node:fs';
import type { ChainableCommander, Redis } from 'ioredis';
import { nodesOf } from './connection.ts';

const folder = new URL('./lua/', import.meta.url);
const read = (name: string) => readFileSync(new URL(`${name}.lua`, folder), 'utf8');
const prelude = read('prelude');
const budgetPrelude = prelude + read('budget');

const KEY_COUNTS = {
  layout: 1,
  accept: 9,
  planned: 1,
  enter: 8,
  recheck: 4,
  launched: 7,
  refused: 3,
  deliver: 6,
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
  'budget-outlook': 1,
  beat: 1,
  raise: 1,
  redo: 3,
  restore: 8,
  archived: 3,
  retire: 4,
  'purge-runs': 3,
  list: 1,
  inspect: 1,
  launches: 1,
  resource: 1,
  'resource-merge': 1,
  rate: 1,
} as const;

export type ScriptName = keyof typeof KEY_COUNTS;
type Argument = string | number | Buffer;

const commandOf = (name: ScriptName) => `autofiles_${name}`;

/** Makes the scripts commands of this connection; ioredis sends EVALSHA and falls back to EVAL by itself. */
export function defineScripts(redis: Redis): void {
  for (const name of Object.keys(KEY_COUNTS)) {
    // Object.keys of a const object yields exactly its keys
    const script = name as ScriptName;
    redis.defineCommand(commandOf(script), {
      numberOfKeys: KEY_COUNTS[script],
      lua: (script.startsWith('budget-') ? budgetPrelude : prelude) + read(script),
    });
  }
}

type Commands = Record<string, ((...args: Argument[]) => unknown) | undefined>;

function commandIn(target: Redis | ChainableCommander, name: ScriptName): (...args: Argument[]) => unknown {
  // commands that defineCommand adds at run time are unknown to the types
  const command = (target as unknown as Commands)[commandOf(name)];
  if (command === undefined) throw new TypeError(`script ${name} is not defined on this connection`);
  return command.bind(target);
}

/** Runs a script and answers with its reply. */
export async function run(redis: Redis, name: ScriptName, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
  return await commandIn(redis, name)(...keys, ...args);
}

/** Puts a script into a pipeline or MULTI. */
export function queue(pipeline: ChainableCommander, name: ScriptName, keys: readonly string[], args: readonly Argument[]): void {
  commandIn(pipeline, name)(...keys, ...args);
}

/** Whether Redis did not know a script: after SCRIPT FLUSH, or when it was sent within a MULTI that was aborted. */
export function isScriptUnknown(error: unknown): boolean {
  return error instanceof Error && error.message.includes('NOSCRIPT');
}

/**
 * Makes Redis know every script of this connection, ours and BullMQ's. Outside a MULTI ioredis does that by itself; inside
 * one it takes the first use on a socket for proof, whether that MULTI was executed or not.
 */
export async function loadScripts(redis: Redis): Promise<void> {
  // what defineCommand made; ioredis' types leave the members out
  const scripts = Object.values(redis.scriptsSet) as readonly { lua: string }[];
  for (const node of nodesOf(redis)) {
    const pipeline = node.pipeline();
    for (const { lua } of scripts) pipeline.script('LOAD', lua);
    for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
  }
}
