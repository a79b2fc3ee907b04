// Uploads a workflow, which starts it: node starter_workflow.mjs [workflows/get-data.json]
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { bucketOf } from './s3.mjs';

const file = process.argv[2] ?? new URL('workflows/starter.json', import.meta.url);
const key = process.argv[2] ? `in/${basename(process.argv[2])}` : 'in/example';

// ld_run says that the file itself is the workflow
await bucketOf(process.env).put(key, await readFile(file), { ld_run: 'true' });
console.log(`Saved ${key}; its workflow begins.`);
