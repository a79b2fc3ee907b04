"""A task that proves its success with an output file.

This is the documentation's example "Managing Task Output and Status", with what keeps the printed one
from running put right:

  * metadata values are text, so the state is sent as json.dumps(state); boto3 stops at a dict with
    "AttributeError: 'dict' object has no attribute 'encode'"
  * the braces of Metadata and put_object are closed
  * the client has one name, s3
  * get_json() is called

It also runs without the internet and without `requests`: fetch() makes up the records that the page gets
from https://jsonplaceholder.typicode.com. `endpoint` comes from the task's options.
"""
import json
import os
import time

from utils import setup_s3_client

NUM_RECORDS = {'posts': 100, 'users': 10, 'comments': 500}


def fetch(endpoint):
    """Stands for requests.get(f'https://jsonplaceholder.typicode.com/{endpoint}').json()."""
    return [
        {'id': n, 'endpoint': endpoint, 'title': f'{endpoint} number {n}'}
        for n in range(1, NUM_RECORDS.get(endpoint, 20) + 1)
    ]


def get_json():
    ld_env = json.loads(os.environ['line_D'])
    task_id = ld_env['task_id']
    endpoint = os.environ.get('endpoint', 'posts')
    began = time.monotonic()
    records = fetch(endpoint)

    # You have the option to store state to help with monitoring and composing workflows
    state = {
        'endpoint': endpoint,
        'num_records': len(records),
        'resp_time': round(time.monotonic() - began, 6),
    }
    s3 = setup_s3_client()
    s3.put_object(
        Body=json.dumps(records).encode('utf-8'),
        Bucket=os.environ.get('LD_S3_BUCKET'),
        Key=f'out/{task_id}',
        Metadata={
            'ld_task_id': task_id,
            'ld_state': json.dumps(state),
        },
    )
    print(f'{endpoint}: {len(records)} records saved as out/{task_id}')


if __name__ == '__main__':
    get_json()
