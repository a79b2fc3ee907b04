// docs/settings.md names every environment variable that is read, with the default that it has, and none that is not.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { apiOf, bucketOf, herokuOf } from '../../src/cli/access.ts';
import { type Config, readConfig } from '../../src/schema/config.ts';
import { messageOf } from '../../src/schema/failures.ts';

const ROOT = join(import.meta.dirname, '../..');
const page = await readFile(join(ROOT, 'docs/settings.md'), 'utf8');

interface Row {
  readonly section: string;
  readonly name: string;
  readonly cells: readonly string[];
}

/** The rows of the page's tables. */
function rowsOf(text: string): Row[] {
  return text.split(/^## /m).flatMap((part) => {
    const section = part.split('\n', 1)[0] ?? '';
    return [...part.matchAll(/^\| `(\w+)` *\|(.*)\|$/gm)].map(([, name = '', rest = '']) => ({
      section,
      name,
      cells: rest.split(/(?<!\\)\|/).map((cell) => cell.trim()),
    }));
  });
}

/** What `read` asks of an environment in which everything has this value. */
function asked(read: (env: Record<string, string | undefined>) => unknown, value: string | undefined): string[] {
  const names = new Set<string>();
  const env = new Proxy<Record<string, string | undefined>>(
    {},
    {
      get(_, name) {
        names.add(String(name));
        return value;
      },
    },
  );
  try {
    read(env);
  } catch (error) {
    // all faults are found before it is said that there are any
    expect(messageOf(error)).toContain('found');
  }
  return [...names];
}

/** Names that some file of these folders has, as a word of its own. */
async function mentioned(pattern: RegExp, ...places: readonly string[]): Promise<Set<string>> {
  const names = new Set<string>();
  for (const place of places) {
    const files = place.includes('.')
      ? [place]
      : (await readdir(join(ROOT, place), { recursive: true, withFileTypes: true }))
          .filter((entry) => entry.isFile() && /\.(ts|mjs|sh|yaml|env)$/.test(entry.name) && !entry.parentPath.includes('node_modules'))
          .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1));
    for (const file of files) for (const [name] of (await readFile(join(ROOT, file), 'utf8')).matchAll(pattern)) names.add(name);
  }
  return names;
}

const composeText = await readFile(join(ROOT, 'docker/compose.yaml'), 'utf8');
// the file is ours: services have environments of names and texts
const compose = parse(composeText, { merge: true }) as { services: Record<string, { environment?: Record<string, string> }> };
/** Whether compose.yaml gives the service what the operator has in that variable. */
const passedOn = (service: string, name: string) => compose.services[service]?.environment?.[name]?.startsWith(`\${${name}:`) === true;

const sorted = (names: Iterable<string>) => [...new Set(names)].toSorted();
const rows = rowsOf(page);
const ENGINE = ['Everywhere', 'AWS', 'Heroku', 'Web', 'Worker'];
const engineRows = rows.filter(({ section }) => ENGINE.includes(section));
const engineNames = sorted([undefined, 'http://127.0.0.1'].flatMap((value) => asked(readConfig, value)));

describe('docs/settings.md', () => {
  it('has a row for each variable that web and worker read, and for nothing else', () => {
    expect(engineNames.length).toBeGreaterThan(50);
    expect(sorted(engineRows.map(({ name }) => name))).toEqual(engineNames);
  });

  it('has the default that each has, in production too', () => {
    const base = { REDIS_URL: 'redis://127.0.0.1', AUTOFILES_MASTER_KEY: `${'A'.repeat(43)}=` };
    // with an endpoint of traces, without which their name is not looked at; with one of S3, which an archive may be at
    const here = { ...base, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1' };
    const production = { ...here, NODE_ENV: 'production', AUTOFILES_S3_ENDPOINT: 'http://127.0.0.1' };
    const wrong: string[] = [];
    let looked = 0;
    for (const { name, cells } of engineRows) {
      const [plain = '', productive = ''] = cells;
      for (const [env, cell] of [[here, plain] as const, [production, productive === '' ? plain : productive] as const]) {
        const written = /^`(.*)`$/.exec(cell)?.[1];
        if (written === undefined) continue;
        looked += 1;
        if (!same(readConfig({ ...env, [name]: written }), readConfig({ ...env, [name]: undefined }))) wrong.push(`${name}: ${cell}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(looked).toBeGreaterThan(60);
  });

  it('gives no number without its default', () => {
    const plain = { REDIS_URL: 'redis://127.0.0.1', AUTOFILES_MASTER_KEY: `${'A'.repeat(43)}=` };
    const numbers = ['17', '1'];
    const undocumented = engineRows
      .filter(({ name, cells: [cell] }) => cell === '' && name !== 'AUTOFILES_WORKER_PORT')
      .filter(({ name }) => numbers.some((value) => asksForNumber(plain, name, value)));
    expect(undocumented.map(({ name }) => name)).toEqual([]);
  });

  it('has a row for each variable that the commands read, and for nothing else', () => {
    const read = asked((env) => [apiOf(env), herokuOf(env), bucketOf(env).store.close()], 'http://127.0.0.1');
    const written = rows.filter(({ section }) => section === 'Commands').map(({ name }) => name);
    // the last is Node's own
    expect(sorted(written)).toEqual(sorted([...read, 'NODE_EXTRA_CA_CERTS']));
  });

  it('has a row for each other variable that anything names, and for nothing that nobody names', async () => {
    const ours = /\bAUTOFILES_[A-Z0-9_]*[A-Z0-9]\b/g;
    const named = await mentioned(ours, 'src', 'scripts', 'bench', 'docker', 'tests', 'bin/autofiles.mjs');
    // planted below
    named.delete('AUTOFILES_PLANTED');
    const all = rows.map(({ name }) => name);
    expect(sorted(named).filter((name) => !all.includes(name))).toEqual([]);
    const anywhere = await mentioned(/\b[A-Z][A-Z0-9_]+\b/g, 'src', 'scripts', 'bench', 'docker', 'tests');
    expect(all.filter((name) => !anywhere.has(name))).toEqual([]);
    expect(all.length).toBe(new Set(all).size);
  });

  it('says which of them compose.yaml passes on to whom, and which it does not', () => {
    // the words before the table of that part: what stands there is not passed on
    const kept = /^## compose\.yaml\n(.*?)^\|/ms.exec(page)?.[1]?.match(/(?<=`)[A-Z][A-Z0-9_]+(?=`)/g) ?? [];
    const unsaid = (named: readonly string[]) =>
      engineRows.flatMap(({ name, cells }) =>
        (['web', 'worker'] as const)
          .filter((service) => cells[2]?.split(', ').includes(service) && passedOn(service, name) === named.includes(name))
          .map((service) => `${name} of ${service}`),
      );
    expect(unsaid(kept)).toEqual([]);
    expect(kept.filter((name) => !engineNames.includes(name))).toEqual([]);
    expect(unsaid([...kept, 'AUTOFILES_SHARDS'])).toEqual(['AUTOFILES_SHARDS of web', 'AUTOFILES_SHARDS of worker']);
    // nothing is passed on or asked for that has no row
    const all = rows.map(({ name }) => name);
    const theirs = ['web', 'worker'].flatMap((service) => Object.keys(compose.services[service]?.environment ?? {}));
    expect(theirs.filter((name) => !all.includes(name))).toEqual([]);
    expect(sorted(composeText.match(/(?<=\$\{)\w+/g) ?? []).filter((name) => !all.includes(name))).toEqual([]);
  });

  it('would be missed one variable more, by the code or by the page', () => {
    const more = asked((env) => [env['AUTOFILES_PLANTED'], readConfig(env)], undefined);
    expect(more.filter((name) => !engineNames.includes(name))).toEqual(['AUTOFILES_PLANTED']);
    const planted = rowsOf(`${page}\n## Worker\n\n| \`AUTOFILES_PLANTED\` | \`1\` | | worker | planted |\n`);
    expect(planted.find(({ name }) => name === 'AUTOFILES_PLANTED')).toEqual({
      section: 'Worker',
      name: 'AUTOFILES_PLANTED',
      cells: ['`1`', '', 'worker', 'planted'],
    });
  });
});

function same(one: Config, other: Config): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function asksForNumber(env: Record<string, string>, name: string, value: string): boolean {
  try {
    const [set, unset] = [readConfig({ ...env, [name]: value }), readConfig({ ...env, [name]: undefined })];
    return JSON.stringify(set).includes(`:${value}`) && !JSON.stringify(unset).includes(`:${value}`);
  } catch {
    return false;
  }
}
