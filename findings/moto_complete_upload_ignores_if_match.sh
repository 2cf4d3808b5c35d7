#!/usr/bin/env bash
# moto 5.2.5 with boto3 1.44.8, Python 3.11.
# Behaviour: PutObject with an If-Match that is not the object's ETag is refused with 412, as S3 does; CompleteMultipartUpload with
# the same wrong If-Match is accepted, and replaces the object. A test of a conditional multipart write passes on moto whatever
# the code does.
# Seen:
#   put_object: PreconditionFailed
#   complete_multipart_upload: accepted, the object is now 'second'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "moto[s3]==5.2.5" "boto3==1.44.8" 2>/dev/null
cat > try.py <<'PY'
import os

os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

with mock_aws():
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"first")
    wrong = {"Bucket": "bucket", "Key": "k", "IfMatch": '"00000000000000000000000000000000"'}
    try:
        s3.put_object(Body=b"second", **wrong)
        put = "accepted"
    except ClientError as error:
        put = error.response["Error"]["Code"]
    print("put_object:", put)
    upload = s3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    part = s3.upload_part(Bucket="bucket", Key="k", UploadId=upload, PartNumber=1, Body=b"second")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    try:
        s3.complete_multipart_upload(UploadId=upload, MultipartUpload=parts, **wrong)
        complete = "accepted"
    except ClientError as error:
        complete = error.response["Error"]["Code"]
    now = s3.get_object(Bucket="bucket", Key="k")["Body"].read().decode()
    print(f"complete_multipart_upload: {complete}, the object is now {now!r}")
    raise SystemExit((put, complete, now) != ("PreconditionFailed", "accepted", "second"))
PY
venv/bin/python try.py
