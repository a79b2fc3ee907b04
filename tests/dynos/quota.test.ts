import { afterEach, describe, expect, it } from 'vitest';
import { dynoQuota } from '../../src/local/dynos/dyno-sizes.ts';
import { eventually, platformWith } from './platform.ts';

const MIB = 1024 ** 2;
/** A program that takes so many MiB, says so and waits. */
const taking = (mib: number): string =>
  `'${process.execPath}' -e 'const held = Buffer.alloc(${mib} * 1048576, 1); console.log("took", held.length); setInterval(() => {}, 1e6)'`;

describe.skipIf(process.platform !== 'linux')('memory', () => {
  const open: { close: () => Promise<void> }[] = [];
  const setup = async () => {
    const platform = await platformWith({}, { copies: 'plain', quotaEveryMs: 50, quotaOf: () => ({ memory: 100 * MIB, processes: 60 }) });
    open.push(platform);
    const heroku = async (name: string) =>
      (await platform.logs({ dyno: name, source: 'heroku' })).map((line) => line.slice(line.indexOf(']: ') + 3));
    return { ...platform, heroku };
  };
  afterEach(async () => {
    for (const platform of open.splice(0)) await platform.close();
  });

  it('above the quota is R14, and the dyno lives on', async () => {
    const platform = await setup();
    const { name } = await platform.run(taking(110));
    await eventually('R14', async () => (await platform.heroku(name)).includes('Error R14 (Memory quota exceeded)'));
    expect(await platform.heroku(name)).toContainEqual(expect.stringMatching(/^Process running mem=1\d\d\.\dM\(1\d\d\.\d%\)$/));
    expect(await platform.list()).toMatchObject([{ name, state: 'up' }]);
  });

  it('above twice the quota is R15, also as the sum of several processes, and the end', async () => {
    const platform = await setup();
    const { name } = await platform.run(`${taking(120)} & ${taking(120)}; wait`);
    const log = await platform.ended(name);
    expect(log).toEqual(
      expect.arrayContaining([
        `heroku[${name}]: Error R15 (Memory quota vastly exceeded)`,
        `heroku[${name}]: Stopping process with SIGKILL`,
        `heroku[${name}]: Process exited with status 137`,
        `heroku[${name}]: State changed from up to complete`,
      ]),
    );
  });

  it('tells of more processes than Heroku allows', async () => {
    const platform = await setup();
    const { name } = await platform.run('for i in $(seq 70); do sleep 600 & done; wait');
    await eventually('the line', async () =>
      (await platform.heroku(name)).some((line) => /^Error: [67]\d processes and threads; .* 60 /.test(line)),
    );
  });

  it('follows the size of the dyno', () => {
    expect(dynoQuota('Basic')).toEqual({ memory: 512 * MIB, processes: 256 });
    expect(dynoQuota('Standard-2X')).toEqual({ memory: 1024 * MIB, processes: 512 });
    expect(dynoQuota('Performance-L')).toEqual({ memory: 14_336 * MIB, processes: 16_384 });
  });
});
