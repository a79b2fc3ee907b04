"""The task of process_media.py's workflow: reads the uploaded picture and says how large it is.

The object that started the run is the `trigger` of line_D. The output is written for any file, an empty one
included: process_media.py, as printed in the documentation, truncates its picture before it uploads it.
"""
import json
import os
import struct

from utils import setup_s3_client

# Start-of-frame markers of JPEG; DHT (C4), JPG (C8) and DAC (CC) between them are none.
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def describe(data):
    """Format, width and height of a PNG, GIF or JPEG; None for all three where the file is none of them."""
    if data[:8] == b'\x89PNG\r\n\x1a\n' and data[12:16] == b'IHDR' and len(data) >= 24:
        return ('png', *struct.unpack('>II', data[16:24]))
    if data[:6] in (b'GIF87a', b'GIF89a') and len(data) >= 10:
        return ('gif', *struct.unpack('<HH', data[6:10]))
    if data[:2] == b'\xff\xd8':
        at = 2
        while at + 9 <= len(data) and data[at] == 0xFF:
            marker = data[at + 1]
            if marker == 0xFF:  # a fill byte before the marker
                at += 1
            elif marker in FRAMES:
                height, width = struct.unpack('>HH', data[at + 5:at + 9])
                return ('jpeg', width, height)
            elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # a marker without a segment
                at += 2
            else:
                at += 2 + struct.unpack('>H', data[at + 2:at + 4])[0]
    return (None, None, None)


def process_image():
    ld_env = json.loads(os.environ['line_D'])
    task_id = ld_env['task_id']
    trigger = ld_env['trigger']
    bucket = os.environ.get('LD_S3_BUCKET')
    s3 = setup_s3_client()

    data = s3.get_object(Bucket=bucket, Key=trigger['key'], VersionId=trigger['version_id'])['Body'].read()
    kind, width, height = describe(data)
    result = {'key': trigger['key'], 'bytes': len(data), 'format': kind, 'width': width, 'height': height}
    # The key of an upload may have any letter; metadata takes ASCII only, which is what json.dumps writes.
    s3.put_object(
        Body=json.dumps(result).encode('utf-8'),
        Bucket=bucket,
        Key=f'out/{task_id}',
        Metadata={
            'ld_task_id': task_id,
            'ld_state': json.dumps({'format': kind, 'width': width, 'height': height}),
        },
    )
    print(json.dumps(result))


if __name__ == '__main__':
    process_image()
