// A pseudo-terminal for tests: commands are typed and their screen is read.
import { createRequire } from 'node:module';
import { eventually } from '../dynos/platform.ts';

/** A command in a pseudo-terminal. */
export interface Typed {
  /** All that the terminal showed, without escape sequences. */
  screen(): string;
  type(text: string): void;
  /** Waits until what was shown since the last call matches. */
  shows(what: RegExp): Promise<string>;
  ended: Promise<number>;
  kill(): void;
}

interface Pty {
  onData(listener: (data: string) => void): unknown;
  onExit(listener: (end: { exitCode: number }) => void): unknown;
  write(data: string): void;
  kill(signal?: string): void;
}
interface Ptys {
  spawn(file: string, args: string[], options: { cols: number; rows: number; cwd: string; env: Record<string, string>; name: string }): Pty;
}

/** Starts a command in a pseudo-terminal of 100 columns and 30 rows. */
export function typeCommand(file: string, args: readonly string[], place: { cwd: string; env: Record<string, string> }): Typed {
  const ptys: Ptys = createRequire(import.meta.url)('@lydell/node-pty');
  const pty = ptys.spawn(file, [...args], { cols: 100, rows: 30, ...place, name: 'xterm' });
  let raw = '';
  let seen = 0;
  pty.onData((data) => {
    raw += data;
  });
  const ended = new Promise<number>((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode)));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals speak in control characters
  const screen = (): string => raw.replace(/\u001b\[[0-9;?]*[A-Za-z]|\u001b[()][A-Z0-9]|\r/g, '');
  return {
    screen,
    type: (text) => pty.write(text),
    async shows(what) {
      const text = await eventually(
        `the terminal shows ${what}; it showed ${JSON.stringify(screen().slice(seen))}`,
        () => {
          const since = screen().slice(seen);
          return what.test(since) && since;
        },
        90,
      );
      seen = screen().length;
      return text;
    },
    ended,
    kill: () => pty.kill('SIGKILL'),
  };
}
