import { cpus, release, totalmem } from 'node:os';
import type { Evidence } from './checker/evidence.ts';
import { type Finding, verdictOf } from './checker/verdict.ts';
import { pageTable } from './page-table.ts';

/** Witnesses shown of one violated invariant. */
const WITNESSES = 3;

const countsOf = (finding: Finding): string => {
  const entries = Object.entries(finding.exercised);
  // a long list of faults says more by what is missing
  if (entries.length <= 4) return entries.map(([what, n]) => `${n} ${what}`).join(', ');
  const missing = entries.filter(([, n]) => n === 0).map(([what]) => what);
  return `${entries.length} kinds${missing.length === 0 ? '' : `, never: ${missing.join(' ')}`}`;
};

/** The verdicts as text, one line an invariant and its first witnesses below. */
export function tableOf(findings: readonly Finding[]): string {
  return findings
    .flatMap((finding) => [
      `${finding.id.padEnd(7)}${verdictOf(finding).padEnd(9)} ${finding.promise} (${countsOf(finding)})`,
      ...finding.violations.slice(0, WITNESSES).map((witness) => `         ✗ ${witness}`),
      ...(finding.violations.length > WITNESSES ? [`         … ${finding.violations.length - WITNESSES} more`] : []),
    ])
    .join('\n');
}

/** The same as a page for docs/reports. */
export function reportOf(run: {
  evidence: Evidence;
  findings: readonly Finding[];
  summary: Readonly<Record<string, number>>;
  seconds: number;
  command: string;
}): string {
  const { evidence, findings, summary } = run;
  const faults = new Map<string, { times: number; met: number; kills: number }>();
  for (const entry of evidence.ledger) {
    if (entry.kind !== 'fault') continue;
    const known = faults.get(entry.fault) ?? { times: 0, met: 0, kills: 0 };
    faults.set(entry.fault, { times: known.times + 1, met: known.met + (entry.live > 0 ? 1 : 0), kills: known.kills + entry.kills });
  }
  const states = Map.groupBy(evidence.runs, ({ record }) => record['state'] ?? '');
  const processor = cpus()[0]?.model.trim() ?? 'unknown';
  return [
    '# Chaos run',
    '',
    `\`npm run chaos -- ${run.command}\`, ${new Date(evidence.phases.began).toISOString()}, ${Math.round(run.seconds)} s.`,
    `Seed ${evidence.settings.seed}. Machine: ${cpus().length} × ${processor}, ${Math.round(totalmem() / 2 ** 30)} GB, Linux ${release()}, Node ${process.versions.node}.`,
    '',
    `**${summary['held']} held, ${summary['violated']} violated, ${summary['vacuous']} vacuous; ${summary['kills']} kills, ${summary['runs']} runs** (${[...states].map(([state, runs]) => `${runs.length} ${state}`).join(', ')}).`,
    '',
    pageTable([
      ['invariant', 'verdict', 'promise', 'seen'],
      ...findings.map((finding) => [finding.id, verdictOf(finding), finding.promise, countsOf(finding)]),
    ]),
    '',
    pageTable([
      ['fault', 'times', 'met live work', 'processes killed'],
      ...[...faults]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([fault, { times, met, kills }]) => [fault, ...[times, met, kills].map(String)]),
    ]),
    '',
  ].join('\n');
}
