// Uploads a picture with its workflow attached: node upload.mjs [FILE]
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { asciiJson, bucketOf } from './s3.mjs';

const here = (path) => new URL(path, import.meta.url);
const [, , file] = process.argv;
const workflow = JSON.parse(await readFile(here('workflow.json'), 'utf8'));
const key = `in/img/${basename(file ?? 'picture.jpg')}`;

// ld_code attaches the workflow; names and values of all metadata may have 2 KB together
await bucketOf(process.env).put(key, await readFile(file ?? here('picture.jpg')), { ld_code: asciiJson(workflow) });
console.log(`Saved ${key}; its thumbnail will be in thumbnails/.`);
