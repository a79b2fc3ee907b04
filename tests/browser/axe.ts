// axe-core in the page: what a person who cannot see, or not well, would stumble over.
import axe from 'axe-core';
import type { Page } from 'playwright-core';

/** Faults of WCAG 2.2 A and AA, and of axe's best practices that it calls serious or critical, one line each. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // evaluated from outside: the page's own content policy lets no foreign script in
  await page.evaluate(axe.source);
  const results = (await page.evaluate(
    "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })",
  )) as axe.AxeResults;
  return results.violations
    .filter(({ impact, tags }) => impact === 'serious' || impact === 'critical' || tags.some((tag) => tag.startsWith('wcag')))
    .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary ?? ''}`));
}
