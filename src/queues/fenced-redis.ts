import { connect as netConnect, Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { AbstractConnector, type ChainableCommander, type Cluster, Redis } from 'ioredis';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';
import { clusterOf, throwFirst } from './connection.ts';

/** What a node of a cluster answers that is not, or not any more, the one for these keys. */
const WRONG_NODE = /^(MOVED|ASK|READONLY|CLUSTERDOWN|TRYAGAIN|EXECABORT)\b/;

/**
 * A fenced connection of its own to where `key` is kept. In a cluster it goes to that key's node directly, since WATCH
 * belongs to one socket and nothing may be redirected behind it; each time it connects it asks which node that is.
 */
export function openFenced(connection: Redis, key: string): FencedRedis {
  const cluster = clusterOf(connection);
  if (cluster === undefined) return new FencedRedis({ ...connection.options, replyMapping: 'legacy', maxRetriesPerRequest: 0 });
  return new FencedRedis({
    ...cluster.options.redisOptions,
    replyMapping: 'legacy',
    maxRetriesPerRequest: 0,
    Connector: nodeConnector(cluster, key),
    reconnectOnError: (error: Error) => WRONG_NODE.test(error.message),
  });
}

/** Milliseconds that a connection may take to close in order. */
const DISCONNECT_MS = 2_000;

const ClusterSlots = Compile(Type.Array(Type.Array(Type.Unknown())));
const ClusterNode = Compile(Type.Array(Type.Unknown(), { minItems: 2 }));

function nodeConnector(cluster: Cluster, key: string) {
  return class NodeConnector extends AbstractConnector {
    constructor() {
      super(DISCONNECT_MS);
    }

    /** ioredis ends a connection for good when its connector rejects, and tries again when the socket it is given is a broken one. */
    async connect(): Promise<Socket> {
      this.connecting = true;
      delete this.firstError;
      try {
        return await this.reach();
      } catch (error) {
        this.firstError = error instanceof Error ? error : new Failure('redis_unavailable', String(error));
        return new Socket().destroy();
      }
    }

    private async reach(): Promise<Socket> {
      const [slot, slots] = await Promise.all([cluster.cluster('KEYSLOT', key), cluster.cluster('SLOTS')]);
      if (!ClusterSlots.Check(slots)) throw new Failure('redis_unavailable', 'CLUSTER SLOTS was answered in a form that is not known.');
      const range = slots.find(([from, to]) => Number(from) <= slot && slot <= Number(to));
      const node = range?.[2];
      if (!ClusterNode.Check(node)) throw new Failure('redis_unavailable', `The cluster has no node for slot ${slot}.`);
      if (!this.connecting) throw new Failure('redis_unavailable', 'The connection was closed while it was being made.');
      const [host, port] = [String(node[0]), Number(node[1])];
      const tls = cluster.options.redisOptions?.tls;
      this.stream = tls === undefined ? netConnect({ host, port }) : tlsConnect({ host, port, ...tls });
      return this.stream;
    }
  };
}

/** What was to be added rests on a record that is not the same any more. Nothing was added; asked again, it is looked at anew. */
export class FenceLost extends Error {
  override readonly name = 'FenceLost';
}

/**
 * A connection whose MULTI also says that the trees stand, that refuses a MULTI whose WATCH was on another connection, and
 * that tells an aborted EXEC, or one in which a script failed, from a good one (BullMQ would trip over the null of the
 * first and overlook the second).
 */
export class FencedRedis extends Redis {
  /** Puts the last words into a MULTI and answers how many they are. */
  planned: (transaction: ChainableCommander) => number = () => 0;
  private watchedOn: unknown;

  /** Watches the keys: the next MULTI does nothing when one of them changes before it. */
  async fenceOff(keys: readonly string[]): Promise<void> {
    await this.watch(...keys);
    this.watchedOn = this.stream;
  }

  async fenceIn(): Promise<void> {
    this.planned = () => 0;
    const stands = this.watchedOn === this.stream && this.status === 'ready';
    this.watchedOn = undefined;
    // a connection that broke took its watches with it
    if (stands) await this.unwatch();
  }

  // biome-ignore lint/suspicious/noExplicitAny: ioredis overloads multi() by its argument; every overload passes through
  override multi(...args: any[]): any {
    const transaction: ChainableCommander = super.multi(...args);
    const exec = transaction.exec.bind(transaction);
    transaction.exec = async () => {
      if (this.status !== 'ready' || this.watchedOn !== this.stream) throw new FenceLost('the connection broke after the watch');
      const count = this.planned(transaction);
      const replies = await exec().finally(() => {
        // EXEC ends all watches, whatever comes of it
        this.watchedOn = undefined;
      });
      if (replies === null) throw new FenceLost('a run changed while its tree was being made');
      throwFirst(this, replies);
      for (const [, word] of replies.slice(replies.length - count)) {
        if (word !== 'planned') throw new Failure('internal', `A tree came out ${String(word)}, expected all of its jobs.`);
      }
      return replies;
    };
    return transaction;
  }
}
