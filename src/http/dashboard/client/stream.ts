// A stream of the server that stays open for as long as somebody looks at its page. A browser goes on by itself when a
// connection is lost, but never when it was answered with anything but 200: too many open, a service that starts, a session that
// ended. Over HTTP/1.1 it has six connections for a host, all its tabs together, so a page that nobody sees holds none.

/** Milliseconds until a stream that was refused is asked for again; each time twice as long, up to the second one. */
const AGAIN_MS = 5_000;
const MOST_AGAIN_MS = 60_000;
/** Milliseconds for a page to come, longer than any takes; that it waits for one of the browser's connections counts, too. */
export const FETCH_MS = 20_000;

export interface KeptStream {
  readonly isOpen: () => boolean;
  /** Closes it for good. */
  readonly end: () => void;
}

interface Listener {
  /** By the name of the event. */
  readonly events: Readonly<Record<string, (event: MessageEvent<unknown>) => void>>;
  /** It is open; `again`: not at the first go, so something may have been missed. */
  readonly open: (again: boolean) => void;
  readonly lost: () => void;
  /** Whether to ask again for a stream that was refused. */
  readonly stands: () => Promise<boolean>;
}

/** Opens a stream and keeps it open while the page is seen. */
export function keepStream(address: string, { events, open: opened, lost, stands }: Listener): KeptStream {
  const ended = new AbortController();
  let source: EventSource | undefined;
  let waiting: ReturnType<typeof setTimeout> | undefined;
  let wait = AGAIN_MS;
  let again = false;

  const close = () => {
    clearTimeout(waiting);
    source?.close();
    source = undefined;
  };
  const end = () => {
    ended.abort();
    close();
  };
  const open = () => {
    close();
    const mine = new EventSource(address);
    source = mine;
    mine.addEventListener('open', () => {
      wait = AGAIN_MS;
      opened(again);
      again = true;
    });
    mine.addEventListener('error', () => {
      again = true;
      lost();
      if (mine.readyState !== EventSource.CLOSED) return;
      waiting = setTimeout(() => void retry(mine), wait);
      wait = Math.min(wait * 2, MOST_AGAIN_MS);
    });
    for (const [name, act] of Object.entries(events)) mine.addEventListener(name, act);
  };
  const retry = async (refused: EventSource) => {
    const wanted = await stands();
    // hidden, or opened anew meanwhile
    if (source !== refused) return;
    if (wanted) open();
    else end();
  };

  const seen = () => {
    if (document.visibilityState === 'hidden') close();
    else open();
  };
  document.addEventListener('visibilitychange', seen, { signal: ended.signal });
  seen();
  return { isOpen: () => source?.readyState === EventSource.OPEN, end };
}

/** Whether an answer says that the page is no longer for who asks: the session ended, or what it showed is gone. */
export function isRefusal(status: number): boolean {
  return status === 401 || status === 403 || status === 404;
}

/** Whether the page is still for who looks at it; no answer is no refusal. */
export async function pageStands(): Promise<boolean> {
  const asked = fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(FETCH_MS) });
  const response = await asked.catch(() => undefined);
  return response === undefined || !isRefusal(response.status);
}
