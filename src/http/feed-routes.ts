// `/v1/events`: what happens to all runs of a resource, live.
import type { Feed } from '../queues/feed.ts';
import { type ApiRoute, apiRoute } from './api-route.ts';
import type { Streams } from './streams.ts';

export function feedRoutes(deps: { feed: Pick<Feed, 'listen' | 'end' | 'read'>; streams: Streams }): readonly ApiRoute[] {
  return [
    apiRoute(
      {
        method: 'get',
        path: '/events',
        id: 'followRuns',
        tag: 'Runs',
        summary: 'Follow the states of all runs of the resource as server-sent events',
        description:
          'Events named `run` with `{id, state, at}`; `state` may be `retrying`. A client that was cut off goes on where it was with Last-Event-ID, about 1,000 events back; when some of them are forgotten an event `reset` comes first: read the list again.',
        media: 'text/event-stream',
        examples: [{ summary: 'From now on' }],
      },
      async ({ c, resource }) => {
        let place = c.req.header('last-event-id') ?? (await deps.feed.end(resource));
        // an id that is none answers with a problem, which a stream that has begun cannot
        let read = await deps.feed.read(resource, place);
        let first = true;
        return deps.streams.turns(c, c.var.caller, {
          listen: (ring) => deps.feed.listen(resource, ring),
          turn: async (stream) => {
            if (first) await stream.write({ event: 'open', id: place, data: '{}' });
            if (!first) read = await deps.feed.read(resource, place);
            first = false;
            while (!stream.ending.aborted && (read.entries.length > 0 || read.lost)) {
              if (read.lost) await stream.write({ event: 'reset', data: '{}' });
              for (const { place: id, at, run, state } of read.entries) {
                await stream.write({ id, event: 'run', data: JSON.stringify({ id: run, state, at: new Date(at).toISOString() }) });
                place = id;
              }
              read = await deps.feed.read(resource, place);
            }
            return 'go on';
          },
        });
      },
    ),
  ];
}
