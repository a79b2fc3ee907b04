import { expect, test } from 'vitest';
import { PLANS, planOf } from '../../src/schema/plans.ts';

test('a plan is found by the slug that Heroku sends', () => {
  expect(planOf('basic')?.name).toBe('Basic');
  expect(planOf('platinum')).toBeUndefined();
  expect(planOf('constructor')).toBeUndefined();
});

test('no plan forgets a run while its event may still be delivered again, or outlives a credential', () => {
  for (const plan of Object.values(PLANS)) {
    expect(plan.retention_days).toBeGreaterThanOrEqual(16);
    expect(plan.max_timeout_s).toBeLessThanOrEqual(14_400);
  }
});
