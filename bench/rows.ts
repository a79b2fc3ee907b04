/** What a figure must be: at most, or at least. */
export type Bar = { readonly most: number } | { readonly least: number };

export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly bar?: Bar;
}

export function verdictOf(row: Row): 'held' | 'missed' | '' {
  if (row.bar === undefined) return '';
  const held = 'most' in row.bar ? row.value <= row.bar.most : row.value >= row.bar.least;
  return held ? 'held' : 'missed';
}

/** The bar as a table shows it. */
export function barText(row: Row): string {
  if (row.bar === undefined) return '';
  return 'most' in row.bar ? `≤ ${row.bar.most}` : `≥ ${row.bar.least}`;
}

export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);
