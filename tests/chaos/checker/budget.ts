// How often the platform is called.
import type { CaseFile } from './case-file.ts';
import { type Finding, look } from './verdict.ts';

/** Milliseconds of the windows in which calls are counted: what is saved up shows in a short one, a wrong rate in a long one. */
const WINDOWS_MS = [1_000, 3_000, 10_000];
/** Milliseconds between the grant of a call and its arrival at the platform: a grant holds for half a second, an intent for one. */
const LATE_MS = 2_000;
/** The same on a busy machine, where what was sent late comes together. */
const BUSY_LATE_MS = 6_000;
/** Calls that may be saved up at least, and the part of the budget that looks at dyno lists may take. */
const SAVED = 5;
const LOOKS_SHARE = 0.2;
/** Looks for one dyno in particular, which are made in any case: milliseconds for which an unanswered launch is looked for, and how often. */
const SOUGHT_MS = 15_000;
const LOOKS_AFTER_UNKNOWN = 8;
const LOOKS_AFTER_DEATH = 2;

export function budgetKept(file: CaseFile): Finding {
  const i = look('I20', 'launches and looks keep to the budget of their account, and what is over it waits', [
    'launches',
    'looks at dyno lists',
    'launches that waited',
  ]);
  const perSecond = file.evidence.settings.launchesPerHour / 3_600;
  const saved = Math.max(SAVED, perSecond * 0.4);
  // those who come and go have accounts of their own
  const apps = new Set(file.evidence.resources.map(({ app }) => app));
  const ours = ({ app, t }: { app: string; t: number }) => apps.has(app) && t >= file.evidence.phases.began;
  const launches = file.of('post').filter(ours);
  const looks = file.of('call').filter((call) => call.what === 'list' && ours(call));
  for (const call of file.of('call')) if (call.what !== 'list' && ours(call)) i.saw('stops, logs and other calls');
  /** The one look that a verdict at a deadline takes, and those for launches of unknown fate. */
  const sought = [
    ...launches.filter(({ answer }) => answer !== 'accepted').flatMap(({ t }) => Array.from({ length: LOOKS_AFTER_UNKNOWN }, () => t)),
    ...file.runs.flatMap((run) => run.history.filter(([, what]) => what === 'adopted' || what === 'lost' || what === 'up').map(([t]) => t)),
    ...file.faults.flatMap(({ t, kills }) => Array.from({ length: kills * LOOKS_AFTER_DEATH }, () => t)),
  ];
  const count = (kind: string, all: readonly { readonly t: number }[], most: (from: number, to: number) => number) => {
    const moments = all.map(({ t }) => t).sort((a, b) => a - b);
    for (const window of WINDOWS_MS) {
      let first = 0;
      for (const [n, t] of moments.entries()) {
        while (t - (moments[first] ?? t) > window) first += 1;
        // with Redis the account's balance may be lost, too
        if (file.lost(t - window, t)) continue;
        const [found, allowed] = [n - first + 1, Math.floor(most(t - window, t))];
        i.holds(kind, found <= allowed, () => `${found} ${kind} within ${window / 1_000} s up to ${t}, expected ${allowed} at most`);
      }
    }
  };
  const within = (share: number, from: number, to: number) =>
    (share * perSecond * (to - from + (file.busy(from - LATE_MS, to) ? BUSY_LATE_MS : LATE_MS))) / 1_000;
  count('launches', launches, (from, to) => saved + within(1, from, to));
  count('looks at dyno lists', looks, (from, to) => {
    const more = sought.filter((t) => t >= from - SOUGHT_MS && t <= to).length;
    return Math.max(1, saved * LOOKS_SHARE) + within(LOOKS_SHARE, from, to) + more;
  });
  for (const run of file.runs) i.saw('launches that waited', run.history.filter(([, what]) => what === 'queued').length);
  return i.done();
}
