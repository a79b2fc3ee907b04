export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly bar?: { readonly most: number };
}

export function verdictOf(row: Row): 'held' | 'missed' | '' {
  if (row.bar === undefined) return '';
  return row.value <= row.bar.most ? 'held' : 'missed';
}

export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);
