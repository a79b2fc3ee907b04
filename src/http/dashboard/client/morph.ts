// Makes what a page shows like what the server drew since.

/** Makes `old` like `next`, touching only what differs; what the reader opened, typed or scrolled stays. */
export function morph(old: Element, next: Element): void {
  if (old.hasAttribute('data-keep') && old.id === next.id) return;
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && !isReaders(old, name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value && !isReaders(old, name)) old.setAttribute(name, value);
  }
  const named = new Map([...old.children].flatMap((child) => (child.id === '' ? [] : [[child.id, child] as const])));
  let cursor = old.firstChild;
  for (const fresh of next.childNodes) {
    const known = fresh instanceof Element && fresh.id !== '' ? named.get(fresh.id) : cursor;
    if (known === undefined || known === null || !alike(known, fresh)) {
      old.insertBefore(document.importNode(fresh, true), cursor);
      continue;
    }
    if (known === cursor) cursor = cursor.nextSibling;
    else old.insertBefore(known, cursor);
    if (known instanceof Element && fresh instanceof Element) morph(known, fresh);
    else if (known.nodeValue !== fresh.nodeValue) known.nodeValue = fresh.nodeValue;
  }
  while (cursor !== null) {
    const gone = cursor;
    cursor = cursor.nextSibling;
    gone.remove();
  }
}

/** Attributes that the reader's own doing sets. */
function isReaders(element: Element, name: string): boolean {
  return (
    (name === 'open' && element.matches('details, dialog')) ||
    (name === 'viewBox' && element.matches('[data-graph-canvas]')) ||
    name === 'data-live-graph' ||
    (name === 'disabled' && element.matches('[data-bulk]'))
  );
}

function alike(one: Node, other: Node): boolean {
  if (one.nodeType !== other.nodeType || one.nodeName !== other.nodeName) return false;
  return !(one instanceof Element && other instanceof Element) || one.id === other.id;
}
