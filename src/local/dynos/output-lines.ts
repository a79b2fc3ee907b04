// Heroku splits log lines longer than 10,000 bytes (heroku.md 2.5).
const longestLine = 10_000;
const newline = 0x0a;

/** Turns a process's output, chunk by chunk, into log lines. Holds at most one unfinished line of 10,000 bytes. */
export interface OutputLines {
  push(chunk: Buffer): void;
  /** Gives out the unfinished last line, if there is one. */
  end(): void;
}

/** Calls `emit` for each line: without its line end, invalid UTF-8 replaced, longer ones split at a character's edge. */
export function createOutputLines(emit: (line: string) => void): OutputLines {
  let rest: Buffer = Buffer.alloc(0);
  const give = (line: Buffer): void => {
    let from = 0;
    while (line.length - from > longestLine) {
      const to = characterEdge(line, from + longestLine);
      emit(line.toString('utf8', from, to));
      from = to;
    }
    const to = line[line.length - 1] === 0x0d && line.length > from ? line.length - 1 : line.length;
    emit(line.toString('utf8', from, to));
  };
  return {
    push(chunk) {
      let from = 0;
      for (;;) {
        const at = chunk.indexOf(newline, from);
        if (at < 0) break;
        const line = chunk.subarray(from, at);
        give(rest.length === 0 ? line : Buffer.concat([rest, line]));
        rest = Buffer.alloc(0);
        from = at + 1;
      }
      if (from === chunk.length) return;
      // Copied: a slice would keep the whole chunk in memory.
      rest = Buffer.concat([rest, chunk.subarray(from)]);
      while (rest.length > longestLine) {
        const to = characterEdge(rest, longestLine);
        emit(rest.toString('utf8', 0, to));
        rest = Buffer.from(rest.subarray(to));
      }
    },
    end() {
      if (rest.length > 0) give(rest);
      rest = Buffer.alloc(0);
    },
  };
}

// Steps back over the following bytes (10xxxxxx) of a UTF-8 character so that it is not cut in two.
function characterEdge(bytes: Buffer, at: number): number {
  let edge = at;
  while (edge > at - 4 && ((bytes[edge] ?? 0) & 0xc0) === 0x80) edge -= 1;
  return edge;
}
