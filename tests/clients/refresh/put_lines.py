# As put-lines.mjs, with an unmodified boto3.
import os
import sys

import boto3
import botocore.exceptions

session = boto3.Session()
s3 = session.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"], config=boto3.session.Config(s3={"addressing_style": "path"}))
for line in sys.stdin:
    key = line.strip()
    try:
        s3.put_object(Bucket=os.environ["LD_S3_BUCKET"], Key=key, Body=key.encode())
        print(f"saved {key} by {session.get_credentials().get_frozen_credentials().access_key}", flush=True)
    except botocore.exceptions.ClientError as error:
        print(f"refused {key}: {error.response['Error']['Code']}", flush=True)
