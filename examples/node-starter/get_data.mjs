// A task that proves its success with an output file. `endpoint` comes from the task's options.
import { asciiJson, bucketOf } from './s3.mjs';

const COUNTS = { posts: 100, users: 10, comments: 500 };

// line_D says who this task is and what it works on
const { task_id: taskId } = JSON.parse(process.env.line_D);
const endpoint = process.env.endpoint ?? 'posts';
const records = fetchRecords(endpoint);

// the state is yours: it is shown with the run, and the next step gets it in its own line_D
const state = { endpoint, num_records: records.length };
await bucketOf(process.env).put(`out/${taskId}`, JSON.stringify(records), { ld_task_id: taskId, ld_state: asciiJson(state) });
console.log(`${endpoint}: ${records.length} records saved as out/${taskId}`);

/** Stands for a request to somebody's API. */
function fetchRecords(name) {
  return Array.from({ length: COUNTS[name] ?? 20 }, (_, i) => ({ id: i + 1, endpoint: name, title: `${name} number ${i + 1}` }));
}
