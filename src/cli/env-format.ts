// The lines of `.autofiles/env`, which three readers take: a shell (`set -a; . .autofiles/env`), `heroku local` (as Node's util.parseEnv), and our own commands.

/** One line of the file. All readers agree on it where `allReadersAgree`; elsewhere the shell and our own commands do. */
export function envLine(name: string, value: string): string {
  return `${name}=${quote(value)}\n`;
}

/** Whether there is a form of this value that every reader takes for the same: no escape exists that is known to all of them. */
export function allReadersAgree(value: string): boolean {
  return !/[\n\r]/.test(value) && (!value.includes("'") || inDoubleQuotes(value));
}

/** A word of a command line for a shell, as it is where nothing in it is special. */
export function shellWord(text: string): string {
  return /^[\w./@%+:,=-]+$/.test(text) ? text : inSingleQuotes(text);
}

/** Reads what envLine wrote; lines of any other form are passed over. */
export function parseEnv(text: string): Record<string, string> {
  const lines = text.matchAll(/^([A-Za-z_]\w*)=(?:((?:'[^']*'|\\')+)|"([^"\\$`]*)")$/gm);
  return Object.fromEntries([...lines].map(([, name, single, double]) => [name ?? '', double ?? fromSingleQuotes(single ?? '')]));
}

function quote(value: string): string {
  return value.includes("'") && inDoubleQuotes(value) ? `"${value}"` : inSingleQuotes(value);
}

// What is special between double quotes, to one reader or another.
function inDoubleQuotes(value: string): boolean {
  return !/["\\$`]/.test(value);
}

function inSingleQuotes(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fromSingleQuotes(quoted: string): string {
  return quoted.replace(/'([^']*)'|\\'/g, (_, inner: string | undefined) => inner ?? "'");
}
