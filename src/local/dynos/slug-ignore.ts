// Never part of a copy, at any depth: the local cloud's own state, the repository, and the developer's secrets.
const alwaysIgnored = new Set(['.autofiles', '.git', '.env']);

/** Says whether a path of the app folder (relative, `/` between names) is left out of the slug. */
export type SlugIgnore = (path: string, name: string, isFolder: boolean) => boolean;

/**
 * Reads a `.slugignore`: one pattern a line as in a .gitignore (`*`, `?`, `[a-z]`, `**`, a leading `/` for the root, a trailing `/` for folders), without negation,
 * which Heroku does not have either: a line that begins with `!` is passed over.
 */
export function parseSlugIgnore(source: string): SlugIgnore {
  const rules = source
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('!'))
    .map(toRule);
  return (path, name, isFolder) =>
    alwaysIgnored.has(name) || rules.some((rule) => (isFolder || !rule.foldersOnly) && rule.expression.test(path));
}

function toRule(line: string): { expression: RegExp; foldersOnly: boolean } {
  const foldersOnly = line.endsWith('/');
  const bare = foldersOnly ? line.slice(0, -1) : line;
  // As in git: a pattern with a slash (not at its end) is bound to the root, one without matches a name at any depth.
  const bound = bare.includes('/');
  const pattern = bare.replace(/^\//, '');
  return { expression: new RegExp(`^${bound ? '' : '(?:.*/)?'}${toExpression(pattern)}$`), foldersOnly };
}

function toExpression(glob: string): string {
  let out = '';
  for (let index = 0; index < glob.length; index += 1) {
    const rest = glob.slice(index);
    const set = /^\[!?([^\]]+)\]/.exec(rest);
    if (rest.startsWith('**/')) {
      out += '(?:.*/)?';
      index += 2;
    } else if (rest.startsWith('**')) {
      out += '.*';
      index += 1;
    } else if (rest.startsWith('*')) out += '[^/]*';
    else if (rest.startsWith('?')) out += '[^/]';
    else if (set !== null) {
      out += `[${rest.startsWith('[!') ? '^' : ''}${(set[1] ?? '').replaceAll('\\', '\\\\')}]`;
      index += set[0].length - 1;
    } else out += rest.charAt(0).replace(/[.*+?^${}()|[\]\\]/, '\\$&');
  }
  return out;
}
