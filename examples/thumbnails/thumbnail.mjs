// Makes the thumbnail of the picture whose upload started the run. `width` comes from the task's options.
import { parse } from 'node:path';
import sharp from 'sharp';
import { asciiJson, bucketOf } from './s3.mjs';

const { task_id: taskId, trigger } = JSON.parse(process.env.line_D);
const width = Number(process.env.width ?? 320);
const bucket = bucketOf(process.env);
const picture = await bucket.get(trigger.key, trigger.version_id);

// Nothing can be made of an empty file, and trying again would not help: the output says so. A file that is no
// picture stops sharp, and with it the task, and is seen as a failure.
const result = picture.length === 0 ? { thumbnail: null, why: 'the file is empty' } : await makeThumbnail();

// the proof comes last: when it is seen, the thumbnail is there
await bucket.put(`out/${taskId}`, JSON.stringify(result), { ld_task_id: taskId, ld_state: asciiJson(result) }, 'application/json');
console.log(JSON.stringify(result));

async function makeThumbnail() {
  const { data, info } = await sharp(picture)
    .rotate() // as the camera's orientation says
    .resize({ width, height: width, fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality: 80, mozjpeg: true })
    .toBuffer({ resolveWithObject: true });
  const key = `thumbnails/${parse(trigger.key).name}-${trigger.version_id}.jpg`;
  await bucket.put(key, data, {}, 'image/jpeg');
  return { thumbnail: key, width: info.width, height: info.height, bytes: info.size };
}
