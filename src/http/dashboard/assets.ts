// Stylesheet, scripts and icon of the dashboard: files of this folder, read once at the start and served under names that
// carry their hash, so that a browser may keep them for ever. Scripts are TypeScript whose types are blanked, not compiled.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { Hono } from 'hono';

/** Of two rules that weigh the same the later one holds: what differs on narrow screens comes last. */
const STYLES = ['theme', 'frame', 'states', 'timeline', 'graph', 'tables', 'log', 'runs', 'cards', 'small', 'screens'].map(
  (name) => `client/styles/${name}.css`,
);

/** Scripts come after those that they import: a name has the hash of what is in the file, and so of the names in it. */
const FILES = {
  'dashboard.css': [STYLES, 'text/css; charset=utf-8'],
  'favicon.svg': ['client/favicon.svg', 'image/svg+xml'],
  'morph.js': ['client/morph.ts', 'text/javascript; charset=utf-8'],
  'stream.js': ['client/stream.ts', 'text/javascript; charset=utf-8'],
  'live.js': ['client/live.ts', 'text/javascript; charset=utf-8'],
  'main.js': ['client/main.ts', 'text/javascript; charset=utf-8'],
  'keyboard.js': ['client/keyboard.ts', 'text/javascript; charset=utf-8'],
  'log.js': ['client/log.ts', 'text/javascript; charset=utf-8'],
  'upload.js': ['client/upload.ts', 'text/javascript; charset=utf-8'],
  'preview.js': ['client/preview.ts', 'text/javascript; charset=utf-8'],
  'graph.js': ['client/graph.ts', 'text/javascript; charset=utf-8'],
} as const;
export type AssetName = keyof typeof FILES;

interface Asset {
  readonly path: string;
  readonly type: string;
  readonly body: string;
}
export type Assets = ReadonlyMap<AssetName, Asset>;

/** Reads all files. Throws what the file system throws. */
export function loadAssets(): Assets {
  const assets = new Map<AssetName, Asset>();
  for (const name of Object.keys(FILES) as AssetName[]) {
    const [files, type] = FILES[name];
    const body = [files]
      .flat()
      .map((file) => {
        const text = readFileSync(new URL(file, import.meta.url), 'utf8');
        return file.endsWith('.ts') ? addressed(stripTypeScriptTypes(text), assets) : text;
      })
      .join('');
    const hash = createHash('sha256').update(body).digest('base64url').slice(0, 10);
    assets.set(name, { path: `/assets/${name.replace('.', `.${hash}.`)}`, type, body });
  }
  return assets;
}

/** A script whose imports name the addresses of what they import. */
function addressed(script: string, assets: Assets): string {
  return script.replaceAll(/ from '\.\/([a-z-]+)\.ts'/g, (_, name: string) => ` from '${assetPath(assets, `${name}.js` as AssetName)}'`);
}

/** The address of a file, hash included. */
export function assetPath(assets: Assets, name: AssetName): string {
  return assets.get(name)?.path ?? '';
}

/** Serves them; mounted at the root. */
export function assetRoutes(assets: Assets): Hono {
  const routes = new Hono();
  for (const { path, type, body } of assets.values()) {
    routes.get(path, (c) => c.body(body, 200, { 'content-type': type, 'cache-control': 'public, max-age=31536000, immutable' }));
  }
  return routes;
}
