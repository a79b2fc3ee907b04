// Loads the Lua transitions and gives each a typed face. A script's own header names its keys and arguments.
import { readFileSync } from 'node:fs';
import type { ChainableCommander, Redis } from 'ioredis';

const folder = new URL('./lua/', import.meta.url);
const read = (name: string) => readFileSync(new URL(`${name}.lua`, folder), 'utf8');
const prelude = read('prelude');

const KEY_COUNTS = {
  accept: 7,
  enter: 7,
  recheck: 4,
  launched: 7,
  refused: 3,
  deliver: 5,
  observe: 5,
  cancel: 5,
  finish: 3,
  ring: 4,
  quarantine: 2,
  prune: 2,
} as const;

export type ScriptName = keyof typeof KEY_COUNTS;
type Argument = string | number;

const commandOf = (name: ScriptName) => `autofiles_${name}`;

/** Makes the scripts commands of this connection; ioredis sends EVALSHA and falls back to EVAL by itself. */
export function defineScripts(redis: Redis): void {
  for (const name of Object.keys(KEY_COUNTS)) {
    // Object.keys of a const object yields exactly its keys
    const script = name as ScriptName;
    redis.defineCommand(commandOf(script), { numberOfKeys: KEY_COUNTS[script], lua: prelude + read(script) });
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
