// A Redis Cluster with TLS, as ElastiCache and MemoryDB are one: its nodes go by names, and their certificates hold those names alone.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { freePort } from '../../src/local/dynos/free-port.ts';
import { STORE_KEY } from '../../src/queues/keys.ts';
import { leash } from '../support/leash.ts';
import { startWorld } from '../support/process-world.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** One node that has all slots and calls itself `localhost`. */
async function startNode() {
  const folder = await mkdtemp(join(tmpdir(), 'af-tls-'));
  ends.push(() => rm(folder, { recursive: true, force: true }));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  execFileSync('openssl', ['req', ...kind, ...subject, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  const [port, bus] = [await freePort(), await freePort()];
  const settings = {
    port: 0,
    'tls-port': port,
    'tls-cluster': 'yes',
    'tls-cert-file': certificate,
    'tls-key-file': key,
    'tls-ca-cert-file': certificate,
    'tls-auth-clients': 'no',
    'cluster-enabled': 'yes',
    'cluster-port': bus,
    'cluster-announce-hostname': 'localhost',
    'cluster-preferred-endpoint-type': 'hostname',
    dir: folder,
    appendonly: 'yes',
    save: '',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  await once(child, 'spawn');
  leash(child, folder);
  ends.push(async () => {
    const gone = once(child, 'exit');
    if (child.kill('SIGKILL')) await gone;
  });
  const redis = new Redis({ host: 'localhost', port, tls: { ca: await readFile(certificate) }, maxRetriesPerRequest: null });
  redis.on('error', () => {});
  ends.push(() => redis.disconnect());
  await redis.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await until('the cluster to form', async () => String(await redis.cluster('INFO')).includes('cluster_state:ok'));
  return { redis, certificate, url: `rediss://localhost:${port}` };
}

it('is reached by the names of its nodes, which their certificates hold', async () => {
  const node = await startNode();
  const world = await startWorld({ ok: (dyno) => dyno.output(0) });
  ends.push(world.stop);
  const more = { AUTOFILES_REDIS_SOCKET: '', AUTOFILES_REDIS_CLUSTER: node.url, NODE_EXTRA_CA_CERTS: node.certificate };
  const worker = await world.startWorker('', more);
  const beats = async () => Number((await node.redis.hget(STORE_KEY, 'beat')) ?? 0);
  await until('it to be at work', async () => (await beats()) > 0);
  worker.signal('SIGTERM');
  expect(await worker.ended).toBe('0');
});
