// More parked runs than this machine could park in the time: copies of one that the engine parked, key by key, under names of their own.
// Redis, BullMQ, the sweep and whoever lists runs cannot tell them from others; only their dynos, trigger and document are the same workflow's.
import type { Redis } from 'ioredis';
import { shardKeys } from '../src/queues/keys.ts';
import { Failure } from '../src/schema/failures.ts';

const shard = shardKeys(0);
/** Copies that one script makes: it keeps Redis for about 50 ms. */
const AT_ONCE = 1_000;
/** Stand for the template's run id, dyno id and file digest in what is copied. */
const RUN = '\u0001';
const DYNO = '\u0002';
const FILE = '\u0003';

// ARGV: the template as JSON (list of [type, key, item, item, …]), number of the first copy, how many
const COPY = `
local template, from, count = cjson.decode(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local command = { hash = 'HSET', zset = 'ZADD', set = 'SADD', list = 'RPUSH', string = 'SET' }
for n = from, from + count - 1 do
  local names = { [string.char(1)] = 'r0-' .. string.format('%020d', n), [string.char(2)] = string.format('ffffffff-0000-4000-8000-%012d', n),
    [string.char(3)] = string.format('copy%018d', n) }
  for _, entry in ipairs(template) do
    local args = {}
    for k = 2, #entry do args[k - 1] = string.gsub(entry[k], '[' .. string.char(1, 2, 3) .. ']', names) end
    redis.call(command[entry[1]], unpack(args))
  end
end`;

/** Copies the last run that was parked in shard 0 `count` times; `from` counts on from one call to the next. Throws Failure internal without one. */
export async function copyParked(redis: Redis, from: number, count: number): Promise<void> {
  const runId = (await redis.zrevrange(shard.live, 0, 0))[0];
  if (runId === undefined) throw new Failure('internal', 'No run is parked that could be copied.');
  const template = JSON.stringify(await readTemplate(redis, runId));
  for (let done = 0; done < count; done += AT_ONCE) {
    await redis.eval(COPY, 0, template, from + done, Math.min(AT_ONCE, count - done));
  }
}

/** Everything that Redis has of the run: its own keys whole, and its entries in keys that it shares with others. */
async function readTemplate(redis: Redis, runId: string): Promise<readonly (readonly string[])[]> {
  const dyno = (await redis.hget(shard.run(runId), 'dy:0.0'))?.split('|')[0];
  if (dyno === undefined) throw new Failure('internal', `Run ${runId} waits for no dyno.`);
  const found: string[][] = [];
  let file = FILE;
  for (const key of await redis.keys('*')) {
    const type = await redis.type(key);
    const items = await itemsOf(redis, key, type, key.includes(runId) ? undefined : runId);
    if (items.length === 0) continue;
    if (key.includes(':file:')) file = key.slice(key.lastIndexOf(':') + 1);
    found.push([type, key, ...items]);
  }
  const named = (text: string) => text.replaceAll(runId, RUN).replaceAll(dyno, DYNO).replaceAll(file, FILE);
  return found.map(([type = '', ...rest]) => [type, ...rest.map(named)]);
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
