// Moves and zooms the graph: by mouse, touch, wheel, buttons and keys. It does so by the drawing's viewBox alone.
interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}
const LEAST_PIXELS = 60;
let box: Box | undefined;

function parts(): { frame: HTMLElement; canvas: SVGSVGElement } | undefined {
  const frame = document.querySelector<HTMLElement>('[data-graph]');
  const canvas = frame?.querySelector<SVGSVGElement>('[data-graph-canvas]');
  return frame === null || canvas === null || canvas === undefined ? undefined : { frame, canvas };
}

function whole(canvas: SVGSVGElement): Box {
  const width = Number(canvas.getAttribute('width'));
  const height = Number(canvas.getAttribute('height'));
  return { x: 0, y: 0, width, height };
}

/** Fits the whole drawing, but never larger than life. */
function fitted(frame: HTMLElement, canvas: SVGSVGElement): Box {
  const all = whole(canvas);
  const width = Math.max(all.width, frame.clientWidth);
  const height = Math.max(all.height, frame.clientHeight);
  return { x: (all.width - width) / 2, y: (all.height - height) / 2, width, height };
}

function draw(): void {
  const found = parts();
  if (found === undefined) return;
  const { frame, canvas } = found;
  frame.setAttribute('data-live-graph', '');
  box ??= fitted(frame, canvas);
  canvas.setAttribute('viewBox', `${box.x} ${box.y} ${box.width} ${box.height}`);
}

/** `factor` under 1 comes nearer; the point (0 to 1 of the frame) stays where it is. */
function zoom(factor: number, atX = 0.5, atY = 0.5): void {
  const found = parts();
  if (found === undefined || box === undefined) return;
  const most = Math.max(whole(found.canvas).width * 3, 2000);
  const width = Math.min(Math.max(box.width * factor, LEAST_PIXELS), most);
  const ratio = width / box.width;
  box = { x: box.x + box.width * (1 - ratio) * atX, y: box.y + box.height * (1 - ratio) * atY, width, height: box.height * ratio };
  draw();
}

function move(byX: number, byY: number): void {
  if (box === undefined) return;
  box = { ...box, x: box.x + byX * box.width, y: box.y + byY * box.height };
  draw();
}

function reset(): void {
  box = undefined;
  draw();
}

document.addEventListener('click', (event) => {
  const wanted = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-graph-do]')?.dataset['graphDo'] : undefined;
  if (wanted === 'in') zoom(0.75);
  if (wanted === 'out') zoom(1 / 0.75);
  if (wanted === 'fit') reset();
});
document.addEventListener('keydown', (event) => {
  if (!(event.target instanceof Element) || event.target.closest('[data-graph]') === null || event.ctrlKey || event.metaKey) return;
  const actions: Readonly<Record<string, () => void>> = {
    ArrowLeft: () => move(-0.1, 0),
    ArrowRight: () => move(0.1, 0),
    ArrowUp: () => move(0, -0.1),
    ArrowDown: () => move(0, 0.1),
    '+': () => zoom(0.75),
    '=': () => zoom(0.75),
    '-': () => zoom(1 / 0.75),
    '0': reset,
  };
  const action = actions[event.key];
  if (action === undefined) return;
  action();
  event.preventDefault();
});

let dragging: { x: number; y: number; moved: boolean } | undefined;
document.addEventListener('pointerdown', (event) => {
  const found = parts();
  if (found === undefined || !(event.target instanceof Element) || !found.canvas.contains(event.target) || event.button !== 0) return;
  dragging = { x: event.clientX, y: event.clientY, moved: false };
});
document.addEventListener('pointermove', (event) => {
  const found = parts();
  if (dragging === undefined || found === undefined || box === undefined) return;
  const byX = event.clientX - dragging.x;
  const byY = event.clientY - dragging.y;
  if (!dragging.moved && Math.hypot(byX, byY) < 4) return;
  const scale = Math.max(box.width / found.frame.clientWidth, box.height / found.frame.clientHeight);
  box = { ...box, x: box.x - byX * scale, y: box.y - byY * scale };
  dragging = { x: event.clientX, y: event.clientY, moved: true };
  draw();
});
// nodes are links, which a browser would carry away as such
document.addEventListener('dragstart', (event) => {
  if (event.target instanceof Element && event.target.closest('[data-graph-canvas]') !== null) event.preventDefault();
});
const drop = () => {
  if (dragging?.moved) {
    // a drag that ends on a node must not open it; the click comes right after this, or not at all
    const swallow = (click: Event) => {
      click.stopPropagation();
      click.preventDefault();
    };
    addEventListener('click', swallow, { capture: true });
    setTimeout(() => removeEventListener('click', swallow, { capture: true }));
  }
  dragging = undefined;
};
document.addEventListener('pointerup', drop);
document.addEventListener('pointercancel', drop);
document.addEventListener(
  'wheel',
  (event) => {
    const found = parts();
    // the wheel alone scrolls the page; with Ctrl (or a pinch) it zooms
    if (found === undefined || !event.ctrlKey || !(event.target instanceof Element) || !found.frame.contains(event.target)) return;
    const frame = found.frame.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 0.85 : 1 / 0.85, (event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height);
    event.preventDefault();
  },
  { passive: false },
);
document.addEventListener('autofiles:shown', draw);
addEventListener('resize', reset);
draw();
