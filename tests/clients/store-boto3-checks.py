"""Checks of the local store with an unmodified boto3: one line per check, then a count.

Nothing here knows where the store is: AWS_DATA_PATH redirects boto3. Credentials come from the environment, as the add-on
gives them to an app: LD_… is this tenant's, OTHER_… another tenant's, OLD_… a session that has expired.
"""
import contextlib
import datetime
import hashlib
import importlib
import io
import os
import sys
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

BUCKET = os.environ['LD_S3_BUCKET']
OTHER_BUCKET = os.environ['OTHER_S3_BUCKET']
MIB = 1024 * 1024
CHECKS = []


def client(prefix='LD', token=True, secret=None, **config):
    session = boto3.session.Session(
        aws_access_key_id=os.environ[f'{prefix}_AWS_ACCESS_KEY_ID'],
        aws_secret_access_key=secret or os.environ[f'{prefix}_AWS_SECRET_ACCESS_KEY'],
        aws_session_token=os.environ[f'{prefix}_AWS_SESSION_TOKEN'] if token is True else token,
        region_name=os.environ.get('LD_REGION', 'us-east-1'),
    )
    return session.client('s3', config=Config(retries={'max_attempts': 1}, **config))


s3 = client()
signed = client(signature_version='s3v4')
other = client('OTHER')


def check(function):
    CHECKS.append(function)
    return function


def equal(found, expected):
    assert found == expected, f'found {found!r}, expected {expected!r}'


def refused(code, call, status=None):
    try:
        call()
    except ClientError as error:
        found = error.response['Error']['Code']
        assert found == code, f'refused with {found}, expected {code}'
        if status:
            equal(error.response['ResponseMetadata']['HTTPStatusCode'], status)
        return error.response
    raise AssertionError(f'not refused, expected {code}')


def put(key, body=b'body', **more):
    return s3.put_object(Bucket=BUCKET, Key=key, Body=body, **more)


def get(key, **more):
    return s3.get_object(Bucket=BUCKET, Key=key, **more)['Body'].read()


def round_trip(key, body=b'body'):
    put(key, body)
    equal(get(key), body)
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=key)
    assert key in [entry['Key'] for entry in listed['Contents']], 'not listed'
    s3.delete_object(Bucket=BUCKET, Key=key)


def http(url, method='GET', body=None, headers=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@contextlib.contextmanager
def clock_behind(seconds):
    """Lets botocore sign with a clock that is behind. It signs in Python, or in C when awscrt is installed; newer ones have one function for the time."""
    late = datetime.timedelta(seconds=seconds)

    class Past(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return datetime.datetime.utcnow() - late

    class Shifted:
        datetime, timedelta, timezone = Past, datetime.timedelta, datetime.timezone

    changed = []
    for name in ('botocore.auth', 'botocore.crt.auth'):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        for attribute, value in (('datetime', Shifted), ('get_current_datetime', lambda *_, **__: datetime.datetime.utcnow() - late)):
            if hasattr(module, attribute):
                changed.append((module, attribute, getattr(module, attribute)))
                setattr(module, attribute, value)
    try:
        yield
    finally:
        for module, attribute, value in changed:
            setattr(module, attribute, value)


# --- keys

@check
def key_plain():
    round_trip('in/example')

@check
def key_with_spaces_and_plus():
    round_trip('in/red flower+1 = 2 & 3%.jpg')

@check
def key_unicode():
    round_trip('in/Ünïcödé/日本語/😀.txt')

@check
def key_double_slash():
    put('a//b', b'two')
    put('a/b', b'one')
    equal((get('a//b'), get('a/b')), (b'two', b'one'))

@check
def key_dots():
    for key in ('./x', '../x', 'a/./x', 'a/../x', 'a/..', '.', '..'):
        round_trip(key, key.encode())

@check
def key_leading_and_trailing_slash():
    round_trip('/leading')
    round_trip('trailing/')

@check
def key_of_punctuation():
    round_trip("!-_.*'()&$@=;:,?\\{}^`[]\"<>~#|%")

@check
def key_with_control_characters():
    round_trip('in/tab\tnewline\nreturn\rend')

@check
def key_of_1024_bytes():
    round_trip('k' * 1024)
    round_trip('é' * 512)

@check
def key_of_1025_bytes_refused():
    refused('KeyTooLongError', lambda: put('k' * 1025), 400)

@check
def key_that_is_another_ones_folder():
    put('folder', b'file')
    put('folder/file', b'inside')
    equal((get('folder'), get('folder/file')), (b'file', b'inside'))

# --- bodies

@check
def body_empty():
    equal(put('empty', b'')['ETag'], '"d41d8cd98f00b204e9800998ecf8427e"')
    equal((get('empty'), s3.head_object(Bucket=BUCKET, Key='empty')['ContentLength']), (b'', 0))

@check
def body_of_a_closed_empty_file():
    open('/tmp/af-empty-%d' % os.getpid(), 'wb').close()
    with open('/tmp/af-empty-%d' % os.getpid(), 'rb') as media:
        put('in/img/example.jpg', media)
    os.unlink('/tmp/af-empty-%d' % os.getpid())
    equal(get('in/img/example.jpg'), b'')

@check
def body_of_a_file_object():
    body = os.urandom(3 * MIB)
    put('file-object', io.BytesIO(body))
    equal(get('file-object'), body)

@check
def body_sizes_around_the_inline_limit():
    for size in (1, 65535, 65536, 65537, 1024 * 1024):
        body = os.urandom(size)
        equal(put(f'size-{size}', body)['ETag'], '"%s"' % hashlib.md5(body).hexdigest())
        equal(get(f'size-{size}'), body)

@check
def body_with_wrong_md5_refused():
    refused('BadDigest', lambda: put('bad-md5', b'x', ContentMD5='1B2M2Y8AsgTpgAmY7PhCfg=='), 400)
    refused('NoSuchKey', lambda: get('bad-md5'), 404)

@check
def body_with_every_checksum():
    for algorithm in ('SHA1', 'SHA256', 'CRC32'):
        answer = put(f'sum-{algorithm}', b'checked', ChecksumAlgorithm=algorithm)
        again = s3.get_object(Bucket=BUCKET, Key=f'sum-{algorithm}', ChecksumMode='ENABLED')
        equal(again[f'Checksum{algorithm}'], answer[f'Checksum{algorithm}'])
        equal(again['Body'].read(), b'checked')

@check
def body_with_wrong_checksum_refused():
    refused('BadDigest', lambda: put('bad-sum', b'x', ChecksumSHA256='A' * 43 + '='), 400)

# --- headers and metadata

@check
def headers_are_kept():
    put('headers', ContentType='text/x-test', CacheControl='max-age=5', ContentDisposition='attachment; filename="x"', ContentEncoding='gzip',
        ContentLanguage='de', Expires=datetime.datetime(2030, 1, 2, 3, 4, 5))
    head = s3.head_object(Bucket=BUCKET, Key='headers')
    equal([head[name] for name in ('ContentType', 'CacheControl', 'ContentDisposition', 'ContentEncoding', 'ContentLanguage')],
          ['text/x-test', 'max-age=5', 'attachment; filename="x"', 'gzip', 'de'])
    equal(head['Expires'].replace(tzinfo=None), datetime.datetime(2030, 1, 2, 3, 4, 5))

@check
def content_type_by_default():
    put('no-type')
    equal(s3.head_object(Bucket=BUCKET, Key='no-type')['ContentType'], 'binary/octet-stream')

@check
def metadata_with_underscores_and_case():
    put('meta', Metadata={'ld_run': 'true', 'LD_Code': '{"run": []}', 'with-dash': '  trimmed  '})
    equal(s3.head_object(Bucket=BUCKET, Key='meta')['Metadata'], {'ld_run': 'true', 'ld_code': '{"run": []}', 'with-dash': 'trimmed'})

@check
def metadata_empty_value():
    put('meta-empty', Metadata={'empty': ''})
    equal(s3.head_object(Bucket=BUCKET, Key='meta-empty')['Metadata'], {'empty': ''})

@check
def metadata_of_2048_bytes():
    put('meta-2048', Metadata={'ld_code': 'x' * (2048 - 7)})
    equal(len(s3.head_object(Bucket=BUCKET, Key='meta-2048')['Metadata']['ld_code']), 2041)

@check
def metadata_of_2049_bytes_refused():
    refused('MetadataTooLarge', lambda: put('meta-2049', Metadata={'ld_code': 'x' * (2049 - 7)}), 400)

@check
def metadata_beyond_ascii_refused_by_the_client():
    try:
        put('meta-unicode', Metadata={'x': 'é'})
    except ParamValidationError:
        return
    raise AssertionError('boto3 sent it')

@check
def response_headers_overridden():
    put('override')
    answer = s3.get_object(Bucket=BUCKET, Key='override', ResponseContentType='text/csv', ResponseContentDisposition='inline')
    equal((answer['ContentType'], answer['ContentDisposition']), ('text/csv', 'inline'))

# --- ranges and conditions

@check
def range_from_to():
    put('range', b'0123456789')
    answer = s3.get_object(Bucket=BUCKET, Key='range', Range='bytes=2-4')
    equal((answer['Body'].read(), answer['ContentRange'], answer['ResponseMetadata']['HTTPStatusCode']), (b'234', 'bytes 2-4/10', 206))

@check
def range_open_and_suffix():
    equal((get('range', Range='bytes=7-'), get('range', Range='bytes=-2'), get('range', Range='bytes=5-99')), (b'789', b'89', b'56789'))

@check
def range_beyond_the_end_refused():
    refused('InvalidRange', lambda: get('range', Range='bytes=10-'), 416)

@check
def range_of_a_large_body():
    body = os.urandom(2 * MIB)
    put('large-range', body)
    equal(get('large-range', Range=f'bytes={MIB - 5}-{MIB + 5}'), body[MIB - 5:MIB + 6])

@check
def conditions_by_etag():
    etag = put('conditions')['ETag']
    equal(get('conditions', IfMatch=etag), b'body')
    refused('PreconditionFailed', lambda: get('conditions', IfMatch='"0"'), 412)
    refused('304', lambda: get('conditions', IfNoneMatch=etag), 304)
    equal(get('conditions', IfNoneMatch='"0"'), b'body')

@check
def conditions_by_date():
    now = datetime.datetime.utcnow()
    refused('304', lambda: get('conditions', IfModifiedSince=now + datetime.timedelta(hours=1)), 304)
    equal(get('conditions', IfModifiedSince=now - datetime.timedelta(hours=1)), b'body')
    refused('PreconditionFailed', lambda: get('conditions', IfUnmodifiedSince=now - datetime.timedelta(hours=1)), 412)

@check
def get_and_head_of_nothing():
    refused('NoSuchKey', lambda: get('nothing'), 404)
    refused('404', lambda: s3.head_object(Bucket=BUCKET, Key='nothing'), 404)

# --- versions

@check
def versions_are_kept():
    first = put('versions', b'one')['VersionId']
    second = put('versions', b'two')['VersionId']
    assert first != second
    equal((get('versions'), get('versions', VersionId=first)), (b'two', b'one'))
    equal(s3.head_object(Bucket=BUCKET, Key='versions', VersionId=first)['ContentLength'], 3)

@check
def delete_makes_a_marker_and_its_removal_undoes_it():
    put('marker', b'alive')
    marker = s3.delete_object(Bucket=BUCKET, Key='marker')
    equal(marker['DeleteMarker'], True)
    refused('NoSuchKey', lambda: get('marker'), 404)
    refused('405', lambda: s3.head_object(Bucket=BUCKET, Key='marker', VersionId=marker['VersionId']), 405)
    s3.delete_object(Bucket=BUCKET, Key='marker', VersionId=marker['VersionId'])
    equal(get('marker'), b'alive')

@check
def list_object_versions():
    put('listed-versions', b'1')
    put('listed-versions', b'22')
    s3.delete_object(Bucket=BUCKET, Key='listed-versions')
    found = s3.list_object_versions(Bucket=BUCKET, Prefix='listed-versions')
    equal([entry['Size'] for entry in found['Versions']], [2, 1])
    equal([entry['IsLatest'] for entry in found['DeleteMarkers']], [True])

# --- copy

@check
def copy_keeps_metadata():
    put('copy-source', b'copied', ContentType='text/plain', Metadata={'ld_run': 'true'})
    s3.copy_object(Bucket=BUCKET, Key='copy-target', CopySource={'Bucket': BUCKET, 'Key': 'copy-source'})
    answer = s3.get_object(Bucket=BUCKET, Key='copy-target')
    equal((answer['Body'].read(), answer['ContentType'], answer['Metadata']), (b'copied', 'text/plain', {'ld_run': 'true'}))

@check
def copy_replaces_metadata():
    s3.copy_object(Bucket=BUCKET, Key='copy-replaced', CopySource=f'{BUCKET}/copy-source', MetadataDirective='REPLACE', Metadata={'new': '1'}, ContentType='a/b')
    head = s3.head_object(Bucket=BUCKET, Key='copy-replaced')
    equal((head['Metadata'], head['ContentType']), ({'new': '1'}, 'a/b'))

@check
def copy_to_itself_needs_a_change():
    refused('InvalidRequest', lambda: s3.copy_object(Bucket=BUCKET, Key='copy-source', CopySource=f'{BUCKET}/copy-source'), 400)
    s3.copy_object(Bucket=BUCKET, Key='copy-source', CopySource=f'{BUCKET}/copy-source', MetadataDirective='REPLACE', Metadata={'a': 'b'})
    equal(get('copy-source'), b'copied')

@check
def copy_of_an_odd_key_and_an_old_version():
    old = put('odd/ü +%&.txt', b'old')['VersionId']
    put('odd/ü +%&.txt', b'new')
    s3.copy_object(Bucket=BUCKET, Key='odd-copy', CopySource={'Bucket': BUCKET, 'Key': 'odd/ü +%&.txt', 'VersionId': old})
    equal(get('odd-copy'), b'old')

@check
def copy_under_conditions():
    etag = put('copy-if', b'x')['ETag']
    source = {'Bucket': BUCKET, 'Key': 'copy-if'}
    refused('PreconditionFailed', lambda: s3.copy_object(Bucket=BUCKET, Key='copy-if-2', CopySource=source, CopySourceIfMatch='"0"'), 412)
    s3.copy_object(Bucket=BUCKET, Key='copy-if-2', CopySource=source, CopySourceIfMatch=etag)

@check
def copy_of_nothing():
    refused('NoSuchKey', lambda: s3.copy_object(Bucket=BUCKET, Key='c', CopySource=f'{BUCKET}/nothing'), 404)

# --- multipart

@check
def multipart_of_12_mb():
    body = os.urandom(12 * MIB)
    s3.upload_fileobj(io.BytesIO(body), BUCKET, 'multipart', ExtraArgs={'Metadata': {'ld_run': 'true'}})
    head = s3.head_object(Bucket=BUCKET, Key='multipart')
    digests = b''.join(hashlib.md5(body[start:start + 8 * MIB]).digest() for start in range(0, len(body), 8 * MIB))
    equal((head['ETag'], head['Metadata']), ('"%s-2"' % hashlib.md5(digests).hexdigest(), {'ld_run': 'true'}))
    target = io.BytesIO()
    s3.download_fileobj(BUCKET, 'multipart', target)
    assert target.getvalue() == body, 'the bytes differ'

@check
def multipart_step_by_step():
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key='steps', ContentType='text/steps')['UploadId']
    parts = [s3.upload_part(Bucket=BUCKET, Key='steps', UploadId=upload, PartNumber=number, Body=bytes([number]) * size)['ETag']
             for number, size in ((1, 5 * MIB), (2, 100))]
    listed = s3.list_parts(Bucket=BUCKET, Key='steps', UploadId=upload)
    equal([(part['PartNumber'], part['Size'], part['ETag']) for part in listed['Parts']], [(1, 5 * MIB, parts[0]), (2, 100, parts[1])])
    assert upload in [entry['UploadId'] for entry in s3.list_multipart_uploads(Bucket=BUCKET)['Uploads']], 'upload not listed'
    s3.complete_multipart_upload(Bucket=BUCKET, Key='steps', UploadId=upload,
                                 MultipartUpload={'Parts': [{'PartNumber': i + 1, 'ETag': etag} for i, etag in enumerate(parts)]})
    equal(get('steps'), b'\x01' * 5 * MIB + b'\x02' * 100)
    equal(get('steps', Range=f'bytes={5 * MIB - 2}-{5 * MIB + 1}'), b'\x01\x01\x02\x02')
    equal(s3.head_object(Bucket=BUCKET, Key='steps')['ContentType'], 'text/steps')
    refused('NoSuchUpload', lambda: s3.list_parts(Bucket=BUCKET, Key='steps', UploadId=upload), 404)

@check
def list_parts_in_pages():
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key='pages')['UploadId']
    for number in (3, 1, 2):
        s3.upload_part(Bucket=BUCKET, Key='pages', UploadId=upload, PartNumber=number, Body=b'x')
    pages = s3.get_paginator('list_parts').paginate(Bucket=BUCKET, Key='pages', UploadId=upload, PaginationConfig={'PageSize': 2})
    equal([part['PartNumber'] for page in pages for part in page['Parts']], [1, 2, 3])
    s3.abort_multipart_upload(Bucket=BUCKET, Key='pages', UploadId=upload)
    refused('NoSuchUpload', lambda: s3.abort_multipart_upload(Bucket=BUCKET, Key='pages', UploadId=upload), 404)

@check
def multipart_with_a_small_part_refused():
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key='small')['UploadId']
    parts = [{'PartNumber': n, 'ETag': s3.upload_part(Bucket=BUCKET, Key='small', UploadId=upload, PartNumber=n, Body=b'x')['ETag']} for n in (1, 2)]
    complete = lambda parts: s3.complete_multipart_upload(Bucket=BUCKET, Key='small', UploadId=upload, MultipartUpload={'Parts': parts})
    refused('EntityTooSmall', lambda: complete(parts), 400)
    refused('InvalidPartOrder', lambda: complete(parts[::-1]), 400)
    refused('InvalidPart', lambda: complete([{'PartNumber': 1, 'ETag': '"0"'}]), 400)
    complete(parts[1:])
    equal(get('small'), b'x')

@check
def upload_part_copy():
    body = os.urandom(6 * MIB)
    put('part-source', body)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key='part-copy')['UploadId']
    copy = lambda n, r: s3.upload_part_copy(Bucket=BUCKET, Key='part-copy', UploadId=upload, PartNumber=n, CopySource=f'{BUCKET}/part-source',
                                            CopySourceRange=r)['CopyPartResult']['ETag']
    parts = [copy(1, f'bytes=0-{5 * MIB - 1}'), copy(2, f'bytes={5 * MIB}-{6 * MIB - 1}')]
    s3.complete_multipart_upload(Bucket=BUCKET, Key='part-copy', UploadId=upload,
                                 MultipartUpload={'Parts': [{'PartNumber': i + 1, 'ETag': etag} for i, etag in enumerate(parts)]})
    s3.delete_object(Bucket=BUCKET, Key='part-source')
    assert get('part-copy') == body, 'the bytes differ'

# --- lists

@check
def list_in_byte_order():
    keys = ['order/' + name for name in ('a', 'B', 'ä', 'Z', 'a/b', 'a-b', 'a.b', '~', '日', '😀', '\uffee', '1', '10', '2')]
    for key in keys:
        put(key)
    listed = [entry['Key'] for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix='order/')['Contents']]
    equal(listed, sorted(keys, key=lambda key: key.encode('utf-8')))

@check
def list_in_pages():
    listed = [entry['Key'] for page in s3.get_paginator('list_objects_v2').paginate(Bucket=BUCKET, Prefix='order/', PaginationConfig={'PageSize': 3})
              for entry in page['Contents']]
    equal(len(listed), 14)
    older = [entry['Key'] for page in s3.get_paginator('list_objects').paginate(Bucket=BUCKET, Prefix='order/', PaginationConfig={'PageSize': 5})
             for entry in page['Contents']]
    equal(older, listed)

@check
def list_with_delimiter():
    for key in ('tree/a/1', 'tree/a/2', 'tree/b/1', 'tree/c', 'tree/d e/1'):
        put(key)
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix='tree/', Delimiter='/')
    equal([entry['Prefix'] for entry in found['CommonPrefixes']], ['tree/a/', 'tree/b/', 'tree/d e/'])
    equal([entry['Key'] for entry in found['Contents']], ['tree/c'])
    pages = s3.get_paginator('list_objects_v2').paginate(Bucket=BUCKET, Prefix='tree/', Delimiter='/', PaginationConfig={'PageSize': 1})
    equal([entry['Prefix'] for page in pages for entry in page.get('CommonPrefixes', [])], ['tree/a/', 'tree/b/', 'tree/d e/'])

@check
def list_start_after_and_max_keys():
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix='tree/', StartAfter='tree/a/2', MaxKeys=2)
    equal(([entry['Key'] for entry in found['Contents']], found['IsTruncated'], found['KeyCount']), (['tree/b/1', 'tree/c'], True, 2))

@check
def list_of_nothing():
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix='no such prefix/')
    equal((found['KeyCount'], found['IsTruncated'], 'Contents' in found), (0, False, False))

@check
def bulk_delete():
    keys = ["bulk/a&b<c>'d\"", 'bulk/ leading', 'bulk/ü', 'bulk/x\ry'] + [f'bulk/{n:04}' for n in range(200)]
    for key in keys:
        put(key, b'')
    answer = s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': key} for key in keys + ['bulk/never was']]})
    equal((len(answer['Deleted']), answer.get('Errors')), (205, None))
    equal(s3.list_objects_v2(Bucket=BUCKET, Prefix='bulk/')['KeyCount'], 0)

@check
def bulk_delete_quiet():
    put('quiet')
    answer = s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': 'quiet'}], 'Quiet': True})
    equal('Deleted' in answer, False)

# --- buckets and tags

@check
def bucket_is_seen():
    s3.head_bucket(Bucket=BUCKET)
    equal(s3.get_bucket_location(Bucket=BUCKET)['LocationConstraint'], None)
    equal([bucket['Name'] for bucket in s3.list_buckets()['Buckets']], [BUCKET])

@check
def tags_are_empty_and_cannot_be_put():
    put('tags')
    equal(s3.get_object_tagging(Bucket=BUCKET, Key='tags')['TagSet'], [])
    refused('NotImplemented', lambda: s3.put_object_tagging(Bucket=BUCKET, Key='tags', Tagging={'TagSet': [{'Key': 'a', 'Value': 'b'}]}), 501)
    equal(get('tags'), b'body')

# --- presigned addresses

@check
def presigned_get():
    put('signed ü+', b'presigned')
    url = signed.generate_presigned_url('get_object', Params={'Bucket': BUCKET, 'Key': 'signed ü+'}, ExpiresIn=60)
    equal(http(url), (200, b'presigned'))

@check
def presigned_put():
    url = signed.generate_presigned_url('put_object', Params={'Bucket': BUCKET, 'Key': 'signed-put'}, ExpiresIn=60)
    equal(http(url, 'PUT', b'by url')[0], 200)
    equal(get('signed-put'), b'by url')

@check
def presigned_put_with_metadata():
    url = signed.generate_presigned_url('put_object', Params={'Bucket': BUCKET, 'Key': 'signed-meta', 'Metadata': {'ld_run': 'true'}}, ExpiresIn=60)
    equal(http(url, 'PUT', b'x', {'x-amz-meta-ld_run': 'true'})[0], 200)
    equal(s3.head_object(Bucket=BUCKET, Key='signed-meta')['Metadata'], {'ld_run': 'true'})

@check
def presigned_put_with_added_metadata_refused():
    url = signed.generate_presigned_url('put_object', Params={'Bucket': BUCKET, 'Key': 'signed-added'}, ExpiresIn=60)
    status, body = http(url, 'PUT', b'x', {'x-amz-meta-ld_run': 'true'})
    assert status == 403 and b'AccessDenied' in body and b'x-amz-meta-ld_run' in body, (status, body)

@check
def presigned_tampered_refused():
    url = signed.generate_presigned_url('get_object', Params={'Bucket': BUCKET, 'Key': 'signed ü+'}, ExpiresIn=60)
    status, body = http(url.replace('X-Amz-Expires=60', 'X-Amz-Expires=61'))
    assert status == 403 and b'SignatureDoesNotMatch' in body, (status, body)

@check
def presigned_for_another_key_refused():
    url = signed.generate_presigned_url('get_object', Params={'Bucket': BUCKET, 'Key': 'range'}, ExpiresIn=60)
    status, body = http(url.replace('/range?', '/headers?'))
    assert status == 403 and b'SignatureDoesNotMatch' in body, (status, body)

@check
def presigned_expired_refused():
    with clock_behind(seconds=120):
        url = signed.generate_presigned_url('get_object', Params={'Bucket': BUCKET, 'Key': 'range'}, ExpiresIn=60)
    status, body = http(url)
    assert status == 403 and b'Request has expired' in body, (status, body)

@check
def presigned_by_signature_v2_refused_with_advice():
    url = s3.generate_presigned_url('get_object', Params={'Bucket': BUCKET, 'Key': 'range'}, ExpiresIn=60)
    if 'AWSAccessKeyId' not in url:
        return
    status, body = http(url)
    assert status == 400 and b"signature_version='s3v4'" in body, (status, body)

# --- who may do what

@check
def anonymous_refused():
    endpoint = signed.generate_presigned_url('get_object', Params={'Bucket': BUCKET, 'Key': 'range'}).split('?')[0]
    status, body = http(endpoint)
    assert status == 403 and b'<Code>AccessDenied</Code>' in body, (status, body)

@check
def wrong_secret_refused():
    refused('SignatureDoesNotMatch', lambda: client(secret='wrong').list_objects_v2(Bucket=BUCKET), 403)

@check
def unknown_key_refused():
    os.environ['NONE_AWS_ACCESS_KEY_ID'], os.environ['NONE_AWS_SECRET_ACCESS_KEY'] = 'AKIANOBODY', 'x'
    refused('InvalidAccessKeyId', lambda: client('NONE', token=None).list_objects_v2(Bucket=BUCKET), 403)

@check
def missing_and_wrong_token_refused():
    refused('InvalidAccessKeyId', lambda: client(token=None).list_objects_v2(Bucket=BUCKET), 403)
    refused('InvalidToken', lambda: client(token='wrong').list_objects_v2(Bucket=BUCKET), 400)

@check
def expired_token_refused():
    refused('ExpiredToken', lambda: client('OLD').list_objects_v2(Bucket=BUCKET), 400)

@check
def other_tenant_refused_everywhere():
    put('mine', b'mine', Metadata={'secret': 'x'})
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key='mine-upload')['UploadId']
    own, mine = {'Bucket': OTHER_BUCKET, 'Key': 'stolen'}, {'Bucket': BUCKET, 'Key': 'mine'}
    other_upload = other.create_multipart_upload(**own)['UploadId']
    for call in (
        lambda: other.get_object(**mine),
        lambda: other.put_object(**mine, Body=b''),
        lambda: other.delete_object(**mine),
        lambda: other.list_objects_v2(Bucket=BUCKET),
        lambda: other.list_objects(Bucket=BUCKET),
        lambda: other.list_object_versions(Bucket=BUCKET),
        lambda: other.list_multipart_uploads(Bucket=BUCKET),
        lambda: other.get_bucket_location(Bucket=BUCKET),
        lambda: other.get_bucket_versioning(Bucket=BUCKET),
        lambda: other.get_bucket_notification_configuration(Bucket=BUCKET),
        lambda: other.get_object_tagging(**mine),
        lambda: other.copy_object(**own, CopySource=mine),
        lambda: other.copy_object(**mine, CopySource={'Bucket': OTHER_BUCKET, 'Key': 'x'}),
        lambda: other.upload_part_copy(**own, UploadId=other_upload, PartNumber=1, CopySource=mine),
        lambda: other.create_multipart_upload(**mine),
        lambda: other.upload_part(Bucket=BUCKET, Key='mine-upload', UploadId=upload, PartNumber=1, Body=b'x'),
        lambda: other.list_parts(Bucket=BUCKET, Key='mine-upload', UploadId=upload),
        lambda: other.abort_multipart_upload(Bucket=BUCKET, Key='mine-upload', UploadId=upload),
        lambda: other.complete_multipart_upload(Bucket=BUCKET, Key='mine-upload', UploadId=upload, MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': 'x'}]}),
        lambda: other.delete_bucket(Bucket=BUCKET),
        lambda: other.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={'Status': 'Suspended'}),
        lambda: other.create_bucket(Bucket='somebody-elses'),
        lambda: other.get_object(Bucket='no-such-bucket-at-all', Key='x'),
    ):
        refused('AccessDenied', call, 403)
    refused('403', lambda: other.head_object(**mine), 403)
    refused('403', lambda: other.head_bucket(Bucket=BUCKET), 403)
    equal([bucket['Name'] for bucket in other.list_buckets()['Buckets']], [OTHER_BUCKET])
    errors = other.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': 'mine'}]})['Errors']
    equal([error['Code'] for error in errors], ['AccessDenied'])
    equal(get('mine'), b'mine')
    s3.abort_multipart_upload(Bucket=BUCKET, Key='mine-upload', UploadId=upload)

def send_form(form, body, changes=None):
    fields = {**form['fields'], **(changes or {})}
    lines = []
    for name, value in fields.items():
        lines += [b'--edge', f'Content-Disposition: form-data; name="{name}"'.encode(), b'', value.encode()]
    lines += [b'--edge', b'Content-Disposition: form-data; name="file"; filename="f.txt"', b'Content-Type: text/plain', b'', body, b'--edge--', b'']
    return http(form['url'], 'POST', b'\r\n'.join(lines), {'Content-Type': 'multipart/form-data; boundary=edge'})

@check
def presigned_post():
    pinned = {'x-amz-meta-ld_run': 'true'}
    conditions = [{'x-amz-meta-ld_run': 'true'}, ['content-length-range', 1, 10], {'success_action_status': '201'}, ['starts-with', '$key', 'in/']]
    form = signed.generate_presigned_post(BUCKET, 'in/${filename}', Fields={**pinned, 'success_action_status': '201'}, Conditions=conditions, ExpiresIn=60)
    status, answer = send_form(form, b'by form')
    equal(status, 201)
    assert b'<Key>in/f.txt</Key>' in answer, answer
    equal(get('in/f.txt'), b'by form')
    equal(s3.head_object(Bucket=BUCKET, Key='in/f.txt')['Metadata'], {'ld_run': 'true'})
    equal(send_form(form, b'longer than ten')[0], 400)
    equal(send_form(form, b'')[0], 400)
    equal(send_form(form, b'x', {'x-amz-meta-ld_run': 'false'})[0], 403)
    equal(send_form(form, b'x', {'x-amz-meta-ld_code': '{}'})[0], 403)
    equal(send_form(form, b'x', {'key': 'out/f.txt'})[0], 403)

@check
def presigned_post_for_another_ones_bucket_refused():
    form = client('OTHER', signature_version='s3v4').generate_presigned_post(BUCKET, 'in/theirs', ExpiresIn=60)
    equal(send_form(form, b'x')[0], 403)

@check
def own_bucket_cannot_be_reconfigured():
    for call in (
        lambda: s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={'Status': 'Suspended'}),
        lambda: s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={}),
        lambda: s3.put_bucket_policy(Bucket=BUCKET, Policy='{"Statement": []}'),
        lambda: s3.delete_bucket(Bucket=BUCKET),
    ):
        refused('AccessDenied', call, 403)

@check
def wrong_region_is_told():
    session = boto3.session.Session(os.environ['LD_AWS_ACCESS_KEY_ID'], os.environ['LD_AWS_SECRET_ACCESS_KEY'], os.environ['LD_AWS_SESSION_TOKEN'])
    equal(session.client('s3', region_name='eu-west-1').list_objects_v2(Bucket=BUCKET, Prefix='range')['KeyCount'] >= 1, True)


def main():
    failed = 0
    for function in CHECKS:
        try:
            function()
            print(f'ok {function.__name__}', flush=True)
        except Exception as error:  # every check is to be reported, whatever went wrong in it
            failed += 1
            print(f'FAIL {function.__name__}: {type(error).__name__}: {error}', flush=True)
    print(f'{len(CHECKS) - failed}/{len(CHECKS)} checks passed (boto3 {boto3.__version__}, python {sys.version.split()[0]})')
    sys.exit(1 if failed else 0)


main()
