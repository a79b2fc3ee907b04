/** Passes output on to a `heroku run -x`, which reads the exit status out of it. */
export interface ExitMarker {
  push(chunk: Buffer): void;
  /** Gives out what was held back. */
  end(): void;
}

// The CLI appends `; echo "<U+FFFD or U+FFFF> heroku-command-exit-status: $?"` to the command (heroku.md 3.4) and looks for that line chunk by chunk.
const marker = Buffer.from('\uffff heroku-command-exit-status: ');
const longestStatus = 5;

/**
 * Sends the marker line in one write of its own, and lets it begin a line: the CLI misses a marker that is split over two chunks, reads a split number wrongly, and strips the marker
 * from what it shows only at the beginning of a line.
 */
export function createExitMarker(send: (chunk: Buffer) => void): ExitMarker {
  let held: Buffer = Buffer.alloc(0);
  let atLineStart = true;
  const give = (chunk: Buffer): void => {
    if (chunk.length === 0) return;
    atLineStart = chunk[chunk.length - 1] === 0x0a;
    send(chunk);
  };
  const giveMarked = (from: number): void => {
    give(held.subarray(0, from));
    const line = held.subarray(from);
    give(atLineStart ? line : Buffer.concat([Buffer.from('\r\n'), line]));
    held = Buffer.alloc(0);
  };
  return {
    push(chunk) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      const found = held.indexOf(marker);
      if (found >= 0) {
        const complete = held.indexOf(0x0a, found) >= 0 || held.length - found - marker.length > longestStatus;
        if (complete) giveMarked(found);
        else {
          give(held.subarray(0, found));
          held = Buffer.from(held.subarray(found));
        }
        return;
      }
      // Only a possible beginning of the marker is held back, so that a prompt or a typed character appears at once.
      const keep = beginning(held);
      give(held.subarray(0, held.length - keep));
      held = Buffer.from(held.subarray(held.length - keep));
    },
    end() {
      const found = held.indexOf(marker);
      if (found >= 0) giveMarked(found);
      else give(held);
      held = Buffer.alloc(0);
    },
  };
}

// How many bytes at the end are the beginning of a marker.
function beginning(bytes: Buffer): number {
  for (let length = Math.min(marker.length - 1, bytes.length); length > 0; length -= 1) {
    if (bytes.subarray(bytes.length - length).equals(marker.subarray(0, length))) return length;
  }
  return 0;
}
