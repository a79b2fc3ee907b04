const DIGITS = 11;

/**
 * Writes a version id of 32 characters: the version's number first, so that it is found without an index of its own, then
 * random ones, so that nobody can guess it. It never begins with a dash, which a command line would take for an option.
 */
export function writeVersionId(id: number, random: string): string {
  return `${id.toString(36).padStart(DIGITS, '0')}${random.slice(0, 32 - DIGITS)}`;
}

/** The version's number in a version id, or undefined when the text is none. */
export function readVersionId(versionId: string): number | undefined {
  if (!/^[0-9a-z]{11}[\w.]{21}$/.test(versionId)) return undefined;
  return Number.parseInt(versionId.slice(0, DIGITS), 36);
}
