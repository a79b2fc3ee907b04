"""Uploads a workflow file, which starts it: python3 run_workflow.py workflows/get-data.json"""
import os
import sys

from utils import setup_s3_client

if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit('Name one workflow file: python3 run_workflow.py workflows/get-data.json')
    path = sys.argv[1]
    with open(path, 'rb') as workflow_f:
        key = f'in/{os.path.basename(path)}'
        setup_s3_client().put_object(
            Body=workflow_f,
            Bucket=os.environ.get('LD_S3_BUCKET'),
            Key=key,
            Metadata={'ld_run': 'true'},
        )
    print(f'Saved {key}; its workflow begins.')
