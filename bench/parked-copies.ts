// More parked runs than this machine could park in the time: copies of one that the engine parked, key by key, under names of their own.
// Redis, BullMQ, the sweep and whoever lists runs cannot tell them from others; only their dynos, trigger and document are the same workflow's.
import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { shardKeys } from '../src/queues/keys.ts';
import { Failure } from '../src/schema/failures.ts';

const shard = shardKeys(0);
/** Tasks that one script copies: it keeps Redis for about 50 ms. */
const AT_ONCE = 1_000;
/** Stand for the template's run id and file digest in what is copied, and around the number of one of its dynos. */
const RUN = '\u0001';
const DYNO = '\u0002';
const FILE = '\u0003';

// ARGV: the template as JSON (list of [type, key, item, item, …]), number of the first copy, how many
const COPY = `
local template, from, count = cjson.decode(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local command = { hash = 'HSET', zset = 'ZADD', set = 'SADD', list = 'RPUSH', string = 'SET' }
for n = from, from + count - 1 do
  local names = { [string.char(1)] = 'r0-' .. string.format('%020d', n), [string.char(3)] = string.format('copy%018d', n) }
  local dyno = function (k) return string.format('ffffffff-%04d-4000-8000-%012d', k, n) end
  for _, entry in ipairs(template) do
    local args = {}
    for k = 2, #entry do
      local text = string.gsub(entry[k], '[' .. string.char(1, 3) .. ']', names)
      args[k - 1] = string.gsub(text, string.char(2) .. '(%d+)' .. string.char(2), dyno)
    end
    redis.call(command[entry[1]], unpack(args))
  end
end`;

// ARGV: run id. The keys that a copy of the run has its part in: its own, and those that name no other run. A million keys are more than
// a client should hear of whose memory is measured.
const KEYS_OF = `
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if not string.find(key, 'r0-', 1, true) or string.find(key, ARGV[1], 1, true) then found[#found + 1] = key end
end
return found`;
/** Milliseconds between two looks at whether Redis still writes its append-only file anew. */
const LOOK_MS = 250;

/**
 * A function that puts `count` copies of a run beside it, of the one that was parked last in shard 0 when it is called first; resolves when Redis has
 * nothing to do with them any more. Throws Failure internal where none is parked.
 */
export function parkedCopies(redis: Redis): (count: number) => Promise<void> {
  let template: { readonly tasks: number; readonly text: string } | undefined;
  let copies = 0;
  return async (count) => {
    template ??= await readTemplate(redis);
    const most = Math.ceil(AT_ONCE / template.tasks);
    for (let done = 0; done < count; done += most) {
      const some = Math.min(most, count - done);
      await redis.eval(COPY, 0, template.text, copies, some);
      copies += some;
    }
    while (/aof_rewrite_(?:in_progress|scheduled):1/.test(await redis.info('persistence'))) await pause(LOOK_MS);
  };
}

/** Everything that Redis has of the run: its own keys whole, and its entries in keys that it shares with others. */
async function readTemplate(redis: Redis): Promise<{ tasks: number; text: string }> {
  const runId = (await redis.zrevrange(shard.live, 0, 0))[0];
  if (runId === undefined) throw new Failure('internal', 'No run is parked that could be copied.');
  const record = Object.entries(await redis.hgetall(shard.run(runId)));
  const dynos = record.flatMap(([field, value]) => (field.startsWith('dy:') ? value.split('|', 1) : []));
  if (dynos.length === 0) throw new Failure('internal', `Run ${runId} waits for no dyno.`);
  const found: string[][] = [];
  let file = FILE;
  for (const key of (await redis.eval(KEYS_OF, 0, runId)) as string[]) {
    const type = await redis.type(key);
    const items = await itemsOf(redis, key, type, key.includes(runId) ? undefined : runId);
    if (items.length === 0) continue;
    if (key.includes(':file:')) file = key.slice(key.lastIndexOf(':') + 1);
    found.push([type, key, ...items]);
  }
  const numbers = new Map(dynos.map((dyno, k) => [dyno, `${DYNO}${k}${DYNO}`]));
  const anyDyno = new RegExp(dynos.join('|'), 'g');
  const named = (text: string) =>
    text
      .replaceAll(runId, RUN)
      .replaceAll(anyDyno, (dyno) => numbers.get(dyno) ?? dyno)
      .replaceAll(file, FILE);
  return { tasks: dynos.length, text: JSON.stringify(found.map(([type = '', ...rest]) => [type, ...rest.map(named)])) };
}

/** A key's items as its adding command takes them; with `runId` those alone that name it. */
async function itemsOf(redis: Redis, key: string, type: string, runId: string | undefined): Promise<readonly string[]> {
  const ours = (pair: readonly string[]) => runId === undefined || pair.some((text) => text.includes(runId));
  switch (type) {
    case 'hash':
      return Object.entries(await redis.hgetall(key))
        .filter(ours)
        .flat();
    case 'zset': {
      const flat = await redis.zrange(key, '0', '-1', 'WITHSCORES');
      return flat.flatMap((member, k) => (k % 2 === 0 && ours([member]) ? [flat[k + 1] ?? '0', member] : []));
    }
    case 'set':
      return (await redis.smembers(key)).filter((member) => ours([member]));
    case 'list':
      return runId === undefined ? await redis.lrange(key, 0, -1) : [];
    case 'string':
      return runId === undefined ? [(await redis.get(key)) ?? ''] : [];
    default:
      return [];
  }
}
