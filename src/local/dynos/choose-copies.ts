import { type AppCopies, createPlainCopies } from './app-copies.ts';
import { createNamespaceCopies } from './namespace-copies.ts';

/** How the dynos of this platform get their copies. */
export interface ChosenCopies {
  copies: AppCopies;
  /** `namespace`: seen at /app, nothing is copied. `plain`: real copies under their real path. */
  kind: 'namespace' | 'plain';
  /** Why it is not `namespace`. */
  reason?: string;
  close(): void;
}

/** Takes mount namespaces where this machine allows them, found by trying; else plain copies, which work everywhere. */
export async function chooseCopies(dir: string, wanted: 'auto' | 'plain'): Promise<ChosenCopies> {
  if (wanted === 'plain')
    return { copies: createPlainCopies(dir), kind: 'plain', reason: 'plain copies were asked for', close: () => undefined };
  try {
    const copies = await createNamespaceCopies(dir, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });
    return { copies, kind: 'namespace', close: copies.close };
  } catch (error) {
    return {
      copies: createPlainCopies(dir),
      kind: 'plain',
      reason: error instanceof Error ? error.message : String(error),
      close: () => undefined,
    };
  }
}
