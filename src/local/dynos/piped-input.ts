/** Where the input of an attached run goes. */
export interface InputSink {
  write(chunk: Buffer): void;
  end(): void;
}

/** Input on its way from a client that is no keyboard. */
export interface PipedInput {
  push(chunk: Buffer): void;
  /** The client sends no more: what is held back is the end. */
  end(): void;
  /** The process or the client is gone: nothing is passed on any more. */
  cancel(): void;
}

/** The byte that the heroku CLI sends when its own input has ended. */
export const endOfTransmission = 0x04;
/**
 * Milliseconds in which nothing may follow a byte 0x04 for it to be the end of input. What a client reads from a file or a program follows within a few milliseconds, on a busy
 * machine within tens; each piped run ends its input this much later.
 */
const quietMs = 200;

/**
 * Tells the end of input from data: the heroku CLI ends it with the byte 0x04 and keeps the connection open for the output, but any chunk of binary input may end in that byte, too.
 * So one at the end of a chunk is held back: it was data when more follows, and the end when nothing does.
 */
export function createPipedInput(sink: InputSink): PipedInput {
  let held = false;
  let timer: NodeJS.Timeout | undefined;
  let look: NodeJS.Immediate | undefined;
  const end = (): void => {
    if (!held) return;
    held = false;
    sink.end();
  };
  const endWhenQuiet = (): void => {
    timer = setTimeout(() => {
      // A busy platform comes to its timers late and before it reads: what has arrived meanwhile is read first.
      look = setImmediate(end);
    }, quietMs);
  };
  const goOn = (): void => {
    clearTimeout(timer);
    clearImmediate(look);
  };
  return {
    push(chunk) {
      goOn();
      const input = held ? Buffer.concat([Buffer.from([endOfTransmission]), chunk]) : chunk;
      held = input[input.length - 1] === endOfTransmission;
      const data = held ? input.subarray(0, -1) : input;
      if (data.length > 0) sink.write(data);
      if (held) endWhenQuiet();
    },
    end,
    cancel() {
      goOn();
      held = false;
    },
  };
}
