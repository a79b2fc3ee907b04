// Reads the picture whose upload started the run and says how large it is. An empty file gives an output as well.
import { asciiJson, bucketOf } from './s3.mjs';

// trigger: the version of the object that started the run
const { task_id: taskId, trigger } = JSON.parse(process.env.line_D);
const bucket = bucketOf(process.env);
const data = await bucket.get(trigger.key, trigger.version_id);
const picture = describe(data);

const result = { key: trigger.key, bytes: data.length, ...picture };
await bucket.put(`out/${taskId}`, JSON.stringify(result), { ld_task_id: taskId, ld_state: asciiJson(picture) });
console.log(JSON.stringify(result));

/** Format, width and height of a PNG, GIF or JPEG; null for all three where the file is none of them. */
function describe(bytes) {
  if (bytes.length >= 24 && bytes.toString('latin1', 0, 8) === '\x89PNG\r\n\x1a\n')
    return { format: 'png', width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
  if (bytes.length >= 10 && /^GIF8[79]a$/.test(bytes.toString('latin1', 0, 6)))
    return { format: 'gif', width: bytes.readUInt16LE(6), height: bytes.readUInt16LE(8) };
  if (bytes.length >= 4 && bytes.readUInt16BE(0) === 0xffd8) return jpeg(bytes) ?? { format: null, width: null, height: null };
  return { format: null, width: null, height: null };
}

/** A JPEG is a list of segments; the start of frame has the size. */
function jpeg(bytes) {
  for (let at = 2; at + 9 <= bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1];
    if (marker === 0xff)
      at += 1; // a fill byte before the marker
    else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return { format: 'jpeg', width: bytes.readUInt16BE(at + 7), height: bytes.readUInt16BE(at + 5) };
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8))
      at += 2; // a marker without a segment
    else at += 2 + bytes.readUInt16BE(at + 2);
  }
  return undefined;
}
