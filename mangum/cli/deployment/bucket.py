"""The bucket of artefacts: made, looked at, and written to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from mangum.cli.deployment.aws import AWS, account_of, code_of, status_of
from mangum.cli.deployment.errors import CommandError

__all__ = ["create_bucket", "upload"]

_OWN_REGION = "us-east-1"  # which is said by saying nothing
_PART = 8 * 1024 * 1024
_MISSING = 404
_FORBIDDEN = 403


async def create_bucket(aws: AWS, name: str) -> bool:
    """Make a bucket that nobody else can read, or block public access to the one that is there. Returns whether there
    was none.

    Raises:
        CommandError: the name is somebody else's, or the bucket is in another region.
    """
    named = {"Bucket": name, "ExpectedBucketOwner": await account_of(aws)}
    async with aws.client("s3") as s3:
        is_new = not await _exists(s3, aws, named)
        if is_new:
            await _create(s3, aws, name)
        await s3.put_public_access_block(
            **named,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        return is_new


async def _create(s3: Any, aws: AWS, name: str) -> None:
    place = {} if aws.region == _OWN_REGION else {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
    try:
        await s3.create_bucket(Bucket=name, **place)
    except ClientError as error:
        if code_of(error) == "BucketAlreadyExists":
            raise _is_foreign(name) from None
        raise


async def upload(aws: AWS, bucket: str, key: str, file: Path, progress: Callable[[int], None]) -> bool:
    """Put a file into a bucket, in parts, of which nothing is left if that fails. `progress` is told the bytes of each.
    Returns whether it was not there yet.

    Raises:
        CommandError: the bucket is missing, in another region or somebody else's, or AWS cannot be reached.
    """
    owned = {"Bucket": bucket, "ExpectedBucketOwner": await account_of(aws)}
    async with aws.client("s3") as s3:
        if not await _exists(s3, aws, owned):
            raise CommandError(f"The bucket {bucket} is not there: `mangum create-bucket` makes it.")
        if await _has(s3, owned, key):
            return False
        begun = await s3.create_multipart_upload(**owned, Key=key, ContentType="application/zip")
        named = {**owned, "Key": key, "UploadId": begun["UploadId"]}
        try:
            parts = await _send(s3, file, named, progress)
            await s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        except BaseException:
            await _abort(s3, named)
            raise
        return True


async def _send(s3: Any, file: Path, named: dict[str, str], progress: Callable[[int], None]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    with file.open("rb") as opened:
        while data := opened.read(_PART):
            number = len(parts) + 1
            sent = await s3.upload_part(**named, PartNumber=number, Body=data)
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            progress(len(data))
    return parts


async def _abort(s3: Any, named: dict[str, str]) -> None:
    """Take back what was sent. Where that fails too, the bucket's own rules for unfinished uploads are left."""
    try:
        await s3.abort_multipart_upload(**named)
    except Exception:  # the first error is the one to tell
        return


async def _exists(s3: Any, aws: AWS, named: dict[str, str]) -> bool:
    name = named["Bucket"]
    try:
        found = await s3.head_bucket(**named)
    except ClientError as error:
        status = status_of(error)
        if status == _MISSING:
            return False
        if status == _FORBIDDEN:
            raise _is_foreign(name) from None
        raise
    region = found.get("BucketRegion") or found["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
    if region is not None and region != aws.region:
        raise _is_elsewhere(name, region, aws)
    return True


async def _has(s3: Any, owned: dict[str, str], key: str) -> bool:
    try:
        await s3.head_object(**owned, Key=key)
    except ClientError as error:
        if status_of(error) == _MISSING:
            return False
        raise
    return True


def _is_foreign(name: str) -> CommandError:
    return CommandError(
        f"The bucket {name} is somebody else's: choose another `bucket_name`, which all the world shares."
    )


def _is_elsewhere(name: str, region: str, aws: AWS) -> CommandError:
    return CommandError(
        f"The bucket {name} is in {region}, and the stack is to be in {aws.region}: Lambda takes code from its own "
        "region. Choose another `bucket_name` or `region_name`."
    )
