// Saves a file straight to the bucket, with its progress shown in the line that goes on to the run's end. What the form does
// without this script it also does where the bucket cannot be reached from here.
interface Signed {
  readonly url: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly key: string;
  readonly starts: boolean;
}
/** Bytes that the service itself takes in the bucket's place. */
const MAX_THROUGH_BYTES = 26_000_000;

document.addEventListener('submit', (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.matches('[data-upload]')) return;
  event.preventDefault();
  void save(form);
});

async function save(form: HTMLFormElement): Promise<void> {
  const file = form.querySelector<HTMLInputElement>('input[type="file"]')?.files?.[0];
  if (file === undefined) return;
  const line = openLine(form);
  const button = form.querySelector('button');
  if (button !== null) button.disabled = true;
  form.querySelector('[role="alert"]')?.remove();
  try {
    const signed = await sign(form, file);
    if ('fault' in signed) throw new Error(signed.fault);
    const saved = await send(signed.url, { ...signed.fields, file }, line);
    if (saved === 'unreachable') {
      // the browser was not let through to the bucket: nothing has left
      if (file.size > MAX_THROUGH_BYTES)
        throw new Error(
          `The bucket at ${new URL(signed.url).host} cannot be reached from this page, and the file is too large for the way around it.`,
        );
      form.submit();
      return;
    }
    const query = new URLSearchParams({ key: signed.key, version: saved.version, starts: signed.starts ? 'yes' : 'no' });
    line.say('saved', 100);
    location.assign(`/files/uploaded?${query}`);
  } catch (error) {
    line.close();
    if (button !== null) button.disabled = false;
    fault(form, error instanceof Error ? error.message : String(error));
  }
}

/** Asks for the form that may save exactly this file. */
async function sign(form: HTMLFormElement, file: File): Promise<Signed | { readonly fault: string }> {
  const order = new FormData(form);
  order.delete('file');
  order.set('name', file.name);
  order.set('type', file.type);
  const response = await fetch('/files/form', { method: 'POST', body: order });
  if (response.status !== 200 && response.status !== 422) throw new Error(`The service answered ${response.status}; nothing was saved.`);
  return (await response.json()) as Signed | { readonly fault: string };
}

/** Sends the form; fetch tells no progress of what is sent. */
async function send(
  url: string,
  fields: Readonly<Record<string, string | File>>,
  line: { say(word: string, part: number): void },
): Promise<{ readonly version: string } | 'unreachable'> {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  const request = new XMLHttpRequest();
  let sent = 0;
  return await new Promise((resolve, reject) => {
    request.upload.addEventListener('progress', ({ loaded, total }) => {
      sent = loaded;
      const part = total === 0 ? 100 : Math.floor((loaded / total) * 100);
      line.say(part < 100 ? `sending ${part} %` : 'being saved', part);
    });
    request.addEventListener('load', () => {
      if (request.status >= 200 && request.status < 300) resolve({ version: request.getResponseHeader('x-amz-version-id') ?? '' });
      else reject(new Error(`S3 refused it: ${/<Message>([^<]*)/.exec(request.responseText)?.[1] ?? `HTTP ${request.status}`}`));
    });
    request.addEventListener('error', () => {
      if (sent === 0) resolve('unreachable');
      else reject(new Error('The connection was lost. Look whether the file is there before you send it again.'));
    });
    request.open('POST', url);
    request.send(body);
  });
}

/** The line of stages, in front of the form's button. */
function openLine(form: HTMLFormElement): { say(word: string, part: number): void; close(): void } {
  const place = form.querySelector<HTMLElement>('[data-upload-place]');
  const template = form.querySelector<HTMLTemplateElement>('template');
  if (place !== null && template !== null) place.replaceChildren(document.importNode(template.content, true));
  return {
    say: (word, part) => {
      const text = place?.querySelector('[data-upload-word]');
      if (text !== null && text !== undefined) text.textContent = word;
      const bar = place?.querySelector<HTMLProgressElement>('progress');
      if (bar !== null && bar !== undefined) bar.value = part;
    },
    close: () => place?.replaceChildren(),
  };
}

function fault(form: HTMLFormElement, text: string): void {
  const box = document.createElement('div');
  box.className = 'callout';
  box.setAttribute('role', 'alert');
  const words = document.createElement('p');
  words.className = 'pre';
  words.textContent = text;
  box.append(words);
  form.prepend(box);
}
