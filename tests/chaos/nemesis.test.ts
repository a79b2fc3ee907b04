import { expect, it } from 'vitest';
import { FAULTS } from './nemesis.ts';

it('each way in which a connection goes bad is a fault of its own, which a run without it owes', () => {
  const ways = ['cut', 'refused', 'deaf', 'lossy', 'late'];
  for (const group of ['F8', 'F12']) {
    expect(Object.keys(FAULTS)).toEqual(expect.arrayContaining(ways.map((way) => `${group} ${way}`)));
    expect(FAULTS).not.toHaveProperty([group]);
  }
});
