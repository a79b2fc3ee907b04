// Restate: one handler, `ctx.run` for each launch, an awakeable for its event; started and woken over its server's HTTP ingress, as
// outsiders do. The server writes each entry of an invocation's journal to its log before it goes on.
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { createServer } from 'node:http2';
import { type Context, endpoint, service } from '@restatedev/restate-sdk';
import { servePeer } from '../two-steps.ts';

const STEPS = [0, 1];
const agent = new Agent({ keepAlive: true, maxSockets: 100 });

await servePeer(async (ground, { store }) => {
  // the server's two addresses
  const [ingress = '', admin = ''] = store.split(',');
  const twoSteps = service({
    name: 'two-steps',
    handlers: {
      run: async (ctx: Context) => {
        for (const _ of STEPS) {
          const { id, promise } = ctx.awakeable<string>();
          await ctx.run('launch', () => ground.launch(id));
          await promise;
        }
        ground.ended();
      },
    },
  });
  const server = createServer(
    endpoint()
      .bind(twoSteps)
      .setLogger(() => {})
      .http2Handler(),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await post(`${admin}/deployments`, { uri: `http://127.0.0.1:${port}` });
  return {
    start: async (ids) => {
      // an idempotency key, so that a run that is ordered twice is one, as with us
      await Promise.all(ids.map((id) => post(`${ingress}/two-steps/run/send`, undefined, { 'idempotency-key': id })));
    },
    event: (token) => post(`${ingress}/restate/awakeables/${token}/resolve`, 'there'),
    stop: async () => {
      server.close();
      agent.destroy();
      await Promise.resolve();
    },
  };
});

/** Sends one request, and rejects when it is not answered by a success. */
async function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<void> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
  await new Promise<void>((resolve, reject) => {
    const sent = request(
      url,
      { method: 'POST', agent, headers: { ...type, 'content-length': Buffer.byteLength(text), ...headers } },
      (response) => {
        response.resume();
        response.on('error', reject);
        response.on('end', () => {
          if ((response.statusCode ?? 500) < 300) resolve();
          else reject(new Error(`POST ${url}: ${response.statusCode}`));
        });
      },
    );
    sent.on('error', reject);
    sent.end(text);
  });
}
