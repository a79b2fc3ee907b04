// docs/commands.md out of the program's own table of commands: what `--help` says of each, on one page.
import type { Command, Option } from 'commander';

const INTRO = `# Commands

<!-- Made by \`npm run commands-page\` of src/cli/program.ts. Do not edit. -->

In a clone \`npx autofiles COMMAND\`, elsewhere \`autofiles COMMAND\`, after \`npm link\` in the clone. \`--help\` shows the options of each.

\`web\`, \`worker\`, \`doctor\` and \`provision\` are for who operates the service and read its variables ([settings.md](settings.md)); \`start\` and \`validate\` need
none. All others talk to a running service: to the one of \`AUTOFILES_URL\` and \`AUTOFILES_TOKEN\`, else to the local cloud whose \`.autofiles/env\` is found in the
current folder, a folder above it or the one of \`--app\`.

Exit status: 0 done; 1 the run failed, or something went wrong; 2 the command line, a file or a setting is not valid. \`run\` ends with the status of its
command.
`;

/** Options that many commands have; the page says once what they mean. */
const SHARED: Readonly<Record<string, string>> = { '--app <dir>': "the app's folder", '--json': 'print JSON' };

/** The page, as it should be. */
export function renderCommandPage(program: Command): string {
  const commands = program.commands.filter((command) => command.name() !== 'help');
  const overview = table(
    ['command', 'what it does', 'takes'],
    commands.map((command) => {
      const shared = command.options.filter(isShared).map(({ flags }) => `\`${flags}\``);
      const own = command.options.every(isShared) ? [] : ['options below'];
      return [`\`${callOf(command)}\``, command.description(), [...own, ...shared].join(', ')];
    }),
  );
  const meanings = Object.entries(SHARED).map(([flags, meaning]) => `\`${flags}\`: ${meaning}.`);
  const options = commands
    .filter((command) => !command.options.every(isShared))
    .map((command) => {
      const rows = command.options
        .filter((option) => !isShared(option))
        .map((option) => [`\`${option.flags}\``, option.description, defaultOf(option)]);
      return `## ${command.name()}\n\n${table(['option', 'meaning', 'default'], rows)}`;
    });
  return [INTRO, overview, `${meanings.join(' ')}\n`, options.join('\n')].join('\n');
}

function isShared({ flags, description, defaultValue }: Option): boolean {
  return SHARED[flags] === description && defaultValue === undefined;
}

/** The name with its arguments: `run <command...>`. */
function callOf(command: Command): string {
  const words = command.registeredArguments.map((argument) => {
    const word = `${argument.name()}${argument.variadic ? '...' : ''}`;
    return argument.required ? `<${word}>` : `[${word}]`;
  });
  return [command.name(), ...words].join(' ');
}

function defaultOf(option: Option): string {
  if (option.mandatory) return 'required';
  const value: unknown = option.defaultValue;
  return typeof value === 'string' && value !== '' ? `\`${value}\`` : '';
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  const [first = '', ...rest] = cells.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`);
  return `${[first, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rest].join('\n')}\n`;
}
