// Saves a file with its progress shown; what the form does without this script, it does too.
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.matches('[data-upload]')) return;
  event.preventDefault();
  const bar = form.querySelector<HTMLProgressElement>('[data-upload-bar]');
  const word = form.querySelector('[data-upload-word]');
  const button = form.querySelector('button');
  const say = (text: string) => {
    if (word !== null) word.textContent = text;
  };
  // fetch tells no progress of what is sent
  const request = new XMLHttpRequest();
  request.open('POST', form.action);
  request.upload.addEventListener('progress', ({ loaded, total }) => {
    const part = total === 0 ? 100 : Math.round((loaded / total) * 100);
    if (bar !== null) {
      bar.hidden = false;
      bar.value = part;
    }
    say(part < 100 ? `sending, ${part} %` : 'sent, being saved');
  });
  request.addEventListener('load', () => {
    if (request.responseURL !== '' && request.responseURL !== form.action && request.status < 500) {
      location.assign(request.responseURL);
      return;
    }
    // refused: the page that says why
    const next = new DOMParser().parseFromString(request.responseText, 'text/html').querySelector('main');
    if (next !== null) document.querySelector('main')?.replaceWith(document.importNode(next, true));
  });
  request.addEventListener('error', () => {
    say('the connection was lost; nothing was saved');
    if (button !== null) button.disabled = false;
  });
  if (button !== null) button.disabled = true;
  say('sending');
  request.send(new FormData(form));
});
