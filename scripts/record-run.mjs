// Records a real run as a picture for the README: `node scripts/record-run.mjs` runs `npm start -- --once` and draws what
// it printed into docs/images/run.svg.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const run = spawnSync('npm', ['start', '--silent', '--', '--once'], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
if (run.status !== 0) throw new Error(`npm start ended with status ${run.status}: ${run.stderr}`);

const ready = run.stderr.split('\n').filter((line) => line.startsWith('Ready'));
const lines = ['$ npm start -- --once', ...ready, ...run.stdout.trimEnd().split('\n')].map((line) =>
  line.length > 110 ? `${line.slice(0, 109)}…` : line,
);
const LINE = 20;
const PAD = 18;
const width = PAD * 2 + 110 * 8;
const height = PAD * 2 + lines.length * LINE + 24;
const escaped = (text) => text.replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c] ?? c);
const colour = (line) =>
  line.startsWith('$') ? '#e6edf3' : /succeeded/.test(line) ? '#7ee787' : / \| /.test(line) ? '#79c0ff' : '#c9d1d9';
const text = lines
  .map((line, i) => `<text x="${PAD}" y="${PAD + 36 + i * LINE}" fill="${colour(line)}" xml:space="preserve">${escaped(line)}</text>`)
  .join('\n');
writeFileSync(
  join(root, 'docs', 'images', 'run.svg'),
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="A run of the starter workflow in a terminal">
<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>
<g fill="#30363d"><circle cx="20" cy="18" r="6"/><circle cx="40" cy="18" r="6"/><circle cx="60" cy="18" r="6"/></g>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13">
${text}
</g>
</svg>
`,
);
console.log(lines.join('\n'));
