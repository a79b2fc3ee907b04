"""The step after the group: reads what the step before left and adds it up.

`outputs` of line_D lists the outputs of the step before, in the order of its tasks, each with its key and its
ld_state.
"""
import json
import os

from utils import setup_s3_client


def summarize():
    ld_env = json.loads(os.environ['line_D'])
    task_id = ld_env['task_id']
    bucket = os.environ.get('LD_S3_BUCKET')
    s3 = setup_s3_client()
    counts = {}
    for output in ld_env['outputs']:
        records = json.loads(s3.get_object(Bucket=bucket, Key=output['key'])['Body'].read())
        for record in records:
            counts[record['endpoint']] = counts.get(record['endpoint'], 0) + 1
    s3.put_object(
        Body=json.dumps(counts).encode('utf-8'),
        Bucket=bucket,
        Key=f'out/{task_id}',
        Metadata={'ld_task_id': task_id, 'ld_state': json.dumps(counts)},
    )
    print(f'summary: {json.dumps(counts)}')


if __name__ == '__main__':
    summarize()
