// The step after a group: reads what the step before left and adds it up.
import { asciiJson, bucketOf } from './s3.mjs';

// outputs: those of the step before, in the order of its tasks, each with its key and its ld_state
const { task_id: taskId, outputs } = JSON.parse(process.env.line_D);
const bucket = bucketOf(process.env);
const counts = {};
for (const output of outputs) {
  for (const { endpoint } of JSON.parse((await bucket.get(output.key)).toString('utf8'))) counts[endpoint] = (counts[endpoint] ?? 0) + 1;
}
await bucket.put(`out/${taskId}`, JSON.stringify(counts), { ld_task_id: taskId, ld_state: asciiJson(counts) });
console.log(`summary: ${JSON.stringify(counts)}`);
