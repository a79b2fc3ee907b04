// The filters of the list of runs, as they stand in its address.
import type { RunQuery } from '../../queues/run-list.ts';
import type { RunFilterState } from '../../schema/run-view.ts';
import { query } from './links.ts';

export const FILTER_STATES: readonly RunFilterState[] = ['accepted', 'running', 'retrying', 'succeeded', 'failed', 'cancelled', 'rejected'];

/** Periods that are offered, with their milliseconds. */
export const PERIODS = { '1h': 3_600_000, '24h': 86_400_000, '7d': 604_800_000, '30d': 2_592_000_000 } as const;
export type Period = keyof typeof PERIODS;

export interface RunsFilter {
  readonly states: readonly RunFilterState[];
  /** Text in id, title, key or error. */
  readonly q: string;
  readonly title: string;
  readonly prefix: string;
  readonly period: Period | undefined;
  readonly cursor: string;
}

/** Reads an address; what is not understood is left out, so that an old bookmark still shows something. */
export function readFilter(fields: Readonly<Record<string, string>>, states: readonly string[]): RunsFilter {
  const period = Object.keys(PERIODS).find((name) => name === fields['period']);
  return {
    states: FILTER_STATES.filter((state) => states.includes(state)),
    q: (fields['q'] ?? '').slice(0, 200),
    title: (fields['title'] ?? '').slice(0, 200),
    prefix: (fields['prefix'] ?? '').slice(0, 1024),
    // one of the keys, found among them
    period: period as Period | undefined,
    cursor: fields['cursor'] ?? '',
  };
}

/** The same as a question to the list. */
export function queryOf(filter: RunsFilter, now: number): Omit<RunQuery, 'resource' | 'limit'> {
  return {
    states: filter.states,
    ...(filter.q === '' ? {} : { text: filter.q }),
    ...(filter.title === '' ? {} : { title: filter.title }),
    ...(filter.prefix === '' ? {} : { prefix: filter.prefix }),
    ...(filter.period === undefined ? {} : { since: now - PERIODS[filter.period] }),
    ...(filter.cursor === '' ? {} : { cursor: filter.cursor }),
  };
}

/** The address of a filter; `change` replaces some of it, and any change begins at the first page. */
export function filterHref(filter: RunsFilter, change: Partial<RunsFilter> = {}): string {
  const { states, q, title, prefix, period, cursor } = { ...filter, cursor: '', ...change };
  const text = [...states.map((state) => query({ state })), query({ q, title, prefix, period, cursor })]
    .filter((part) => part !== '')
    .join('&');
  return text === '' ? '/runs' : `/runs?${text}`;
}

/** Whether anything is filtered. */
export function isFiltered({ states, q, title, prefix, period }: RunsFilter): boolean {
  return states.length > 0 || q !== '' || title !== '' || prefix !== '' || period !== undefined;
}
