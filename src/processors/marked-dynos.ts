// The dynos of a list by the launch that the end of their command names.
import type { Dyno } from '../clients/ports.ts';
import { readMarker } from '../schema/command.ts';

/** Several: a command was copied with its marker, say, and nobody can tell which of them the engine launched. */
export type Marked = Dyno | 'several' | undefined;

const read = new WeakMap<readonly Dyno[], ReadonlyMap<string, Marked>>();

/** The dyno of an attempt in a list; undefined: the list does not show it. The list is read once, for all who ask. */
export function markedDyno(dynos: readonly Dyno[], taskId: string, attempt: number): Marked {
  const known = read.get(dynos) ?? byLaunch(dynos);
  read.set(dynos, known);
  return known.get(`${taskId}/${attempt}`);
}

function byLaunch(dynos: readonly Dyno[]): ReadonlyMap<string, Marked> {
  const found = new Map<string, Marked>();
  for (const dyno of dynos) {
    const marker = readMarker(dyno.command);
    if (marker === undefined) continue;
    const name = `${marker.taskId}/${marker.attempt}`;
    found.set(name, found.has(name) ? 'several' : dyno);
  }
  return found;
}
