// Uploads a picture with a workflow attached, in one request: node process_media.mjs [FILE]
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { asciiJson, bucketOf } from './s3.mjs';

const here = (path) => new URL(path, import.meta.url);
const file = process.argv[2] ?? here('example_img.png');
const key = `in/img/${basename(process.argv[2] ?? 'example_img.png')}`;
const workflow = JSON.parse(await readFile(here('workflows/process-image.json'), 'utf8'));

// ld_code attaches the workflow; names and values of all metadata may have 2 KB together
await bucketOf(process.env).put(key, await readFile(file), { ld_code: asciiJson(workflow) });
console.log(`Saved ${key}; its workflow begins.`);
