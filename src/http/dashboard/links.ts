// Addresses of pages that are made from more than an id.

/** The page of a file, of one version of it where that is named. */
export function fileHref(key: string, versionId?: string): string {
  return `/files/object?${query({ key, version: versionId })}`;
}

/** What saves one version of a file on the visitor's machine. */
export function downloadHref(key: string, versionId?: string): string {
  return `/files/download?${query({ key, version: versionId })}`;
}

/** A query string; what is undefined or empty is left out. */
export function query(fields: Readonly<Record<string, string | undefined>>): string {
  const set = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined && value !== '') set.append(name, value);
  return String(set);
}
