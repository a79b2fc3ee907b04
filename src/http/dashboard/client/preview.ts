// Texts of outputs: fetched once each, when their place shows up.
function look(): void {
  for (const place of document.querySelectorAll<HTMLElement>('[data-preview]')) {
    const address = place.dataset['preview'] ?? '';
    delete place.dataset['preview'];
    void show(place, address);
  }
}

async function show(place: HTMLElement, address: string): Promise<void> {
  const response = await fetch(address).catch(() => undefined);
  // no text, or gone: the link that stands there says where to look
  if (response?.status !== 200) return;
  const box = document.createElement('pre');
  box.className = 'preview';
  box.tabIndex = 0;
  box.setAttribute('aria-label', 'Text of the output');
  box.textContent = await response.text();
  place.replaceChildren(box);
}

document.addEventListener('autofiles:shown', look);
look();
