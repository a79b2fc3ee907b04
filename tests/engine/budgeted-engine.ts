// Engines with a launch budget, and a budget without an engine. Whoever imports this has them ended after each test.
import { afterEach } from 'vitest';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { createBudget } from '../../src/queues/budget.ts';
import { connect } from '../../src/queues/connection.ts';
import { budgetKey } from '../../src/queues/keys.ts';
import { startRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';

/** What is to be ended after the test, last first. */
export const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** What the dynos of these tests do, by their command. */
export const scripts: Record<string, Script> = {
  ok: async ({ output, exit, accept }) => {
    await output(20);
    exit(40);
    return accept();
  },
  slow: async ({ output, exit, accept }) => {
    await output(250);
    exit(300);
    return accept();
  },
};
/** A task. */
export const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, ...more });
/** A step of so many tasks. */
export const group = (cmd: string, count: number) => ({ parallel: Array.from({ length: count }, () => t(cmd)) });
/** Launches an hour that are one a second. */
export const PER_SECOND = 3600;

/** An engine, and its budget. */
export async function setup(overrides: Partial<EngineOptions> = {}, more: Record<string, Script> = {}) {
  const server = await startRedis();
  cleanups.push(() => server.stop());
  const engine = await startTestEngine(server, { ...scripts, ...more }, overrides);
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const budget = createBudget({ redis: engine.redis, perHour: overrides.launchesPerHour ?? 1_000_000_000, log });
  cleanups.push(() => engine.stop());
  return { ...engine, budget };
}

/**
 * A budget without an engine, which would hand out the grants of every account; five launches are saved up, and no other token comes while a test
 * lasts, however slow it is: one `comes` when the test says so.
 */
export async function lone() {
  const server = await startRedis();
  const redis = connect(server.cluster === undefined ? { socket: server.socket } : { cluster: server.cluster }, () => {});
  cleanups.push(server.stop, async () => await Promise.resolve(redis.disconnect()));
  const budget = createBudget({ redis, perHour: 1, log: { debug() {}, info() {}, warn() {}, error() {} } });
  const of = (task: string) => ({ account: 'lone', resource: 'r', task, concurrency: 0 });
  const comes = async () => await redis.hset(budgetKey('lone'), 'level', 1);
  return { redis, budget, of, comes };
}

/** Most of the times that lie within any window of `ms`. */
export function mostWithin(times: readonly number[], ms: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return Math.max(...sorted.map((start) => sorted.filter((at) => at >= start && at < start + ms).length));
}
