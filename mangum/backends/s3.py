"""Connections as objects in an S3 bucket: `s3://bucket/prefix?region=eu-central-1`.

| key, under the prefix | body |
|---|---|
| `connections/{id}` | the record; metadata `expires-at` |
| `pending/{id}` | the messages, each behind its length; then, if there is one, a claim; empty when they are posted |
| `groups/{group}/{id}/{membership}` | as a rule empty |
| `memberships/{id}/{group}/{membership}` | as a rule empty |
| `expiry/{Unix seconds}/{id}` | empty |

`{membership}` has when it expires, and the value, so that a page of a group is one list request, which loads no object.
A membership stands there twice, so that a connection's groups are one list request too. Names and values are written in
base64url; where a name or a key would be too long, a hash stands in its place, and the body has what was hashed.

S3 has been strongly consistent since 2020: https://aws.amazon.com/s3/consistency/
"""

from __future__ import annotations

import asyncio
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from botocore.exceptions import ClientError
from botocore.handlers import convert_body_to_file_like_object

from mangum.backends.aws import (
    UNAVAILABLE,
    AWSClient,
    Missing,
    delays,
    error_code,
    error_message,
    gather,
    is_denied,
)
from mangum.backends.base import Backend, Entry, Page, Pending
from mangum.backends.dsn import DSN
from mangum.exceptions import BackendError, ConfigurationError

__all__ = ["S3"]

_BUCKET_NAME = re.compile(r"[A-Za-z0-9._-]{3,255}")
_NO_LOCATION = "us-east-1"  # where CreateBucket takes no LocationConstraint
_RIGHTS = "s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects"

_LONGEST_KEY = 1024  # bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_LONGEST_PREFIX = 512
_LONGEST_PLAIN_NAME = 96  # longer ones are hashed, so that what is not the value takes at most half of a key
_MOST_KEYS = 1000  # in one ListObjectsV2 or DeleteObjects
_HASHED = "="  # in front of a hash; base64url has none, without its padding
_AFTER_ALL = "~"  # comes after every membership, which begins with a digit
_NUL = b"\0"  # between id and value: no id has one
_MOST_OVERDUE = 100
_NO_LENGTH = b"\xff\xff\xff\xff"  # in place of a message's length, before a claim


@dataclass(frozen=True)
class _Membership:
    """A membership as it stands in keys."""

    group: str
    connection: str
    tail: str  # `{expires_at}-{value}`, or `{expires_at}={hash}` where the value is in the body

    @property
    def keys(self) -> tuple[str, str]:
        """In the group, and at the connection."""
        return (
            f"groups/{self.group}/{self.connection}/{self.tail}",
            f"memberships/{self.connection}/{self.group}/{self.tail}",
        )

    @property
    def expires_at(self) -> int:
        return int(re.split("[-=]", self.tail, maxsplit=1)[0])

    @property
    def value(self) -> bytes | None:
        """The value, where it stands in the key."""
        _, separator, value = self.tail.partition("-")
        return _decode(value) if separator else None


class S3(Backend):
    """Connections as objects in an S3 bucket."""

    unavailable = UNAVAILABLE

    def __init__(self, dsn: DSN) -> None:
        if not _BUCKET_NAME.fullmatch(dsn.location):
            raise ConfigurationError(
                f"The DSN {dsn} names no bucket: it must look like s3://bucket or s3://bucket/prefix, with a name of "
                "letters, digits, and characters among - . and _."
            )
        prefix = dsn.path.strip("/")
        if len(prefix.encode()) > _LONGEST_PREFIX:
            raise ConfigurationError(f"The DSN {dsn} has a prefix of more than {_LONGEST_PREFIX} bytes.")
        self._bucket = dsn.location
        self._prefix = f"{prefix}/" if prefix else ""
        # Servers other than AWS's have no host name for each bucket as a rule, and not all know the newer checksums.
        style = "path" if "endpoint_url" in dsn.query else "auto"
        self._aws = AWSClient(
            "s3",
            dsn,
            s3={"addressing_style": style},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._overdue: deque[_Membership] = deque(maxlen=_MOST_OVERDUE)  # expired ones that a page had

    async def open(self) -> None:
        await self._aws.open()
        await self._prepare()

    async def close(self) -> None:
        await self._aws.close()

    async def abort(self) -> None:
        await self._aws.close()

    # The bucket

    async def _prepare(self) -> None:
        # A body that looks like a file would be sent only after the server has asked for it: a round trip more.
        self._aws.unregister("before-parameter-build.s3.PutObject", convert_body_to_file_like_object)
        try:
            await self._list("connections/", 1)
        except Missing:
            await self._create()
        except ClientError as error:
            if not is_denied(error):
                raise
            raise ConfigurationError(
                f"The bucket {self._bucket} is there and may not be listed ({error_message(error)}). What is needed: "
                f"{_RIGHTS}. If it belongs to somebody else, name another one."
            ) from error

    async def _create(self) -> None:
        location = {} if self._aws.region == _NO_LOCATION else {"LocationConstraint": self._aws.region}
        try:
            await self._aws.request(
                "create_bucket", Bucket=self._bucket, **({"CreateBucketConfiguration": location} if location else {})
            )
        except ClientError as error:
            if error_code(error) == "BucketAlreadyOwnedByYou":  # created by somebody else, a moment ago
                return
            if is_denied(error) or error_code(error) in ("BucketAlreadyExists", "InvalidBucketName"):
                raise ConfigurationError(
                    f"The bucket {self._bucket} is missing in {self._aws.region} and could not be created "
                    f"({error_message(error)}). Create a general purpose bucket there with these rights: {_RIGHTS}."
                ) from error
            raise

    # What belongs to a connection

    async def save(self, record: Entry) -> None:
        connection = _part(record.connection_id)
        await gather(
            self._put(f"connections/{connection}", record.value, {"expires-at": str(record.expires_at)}),
            self._put(_expiry_key(record.expires_at, connection)),
        )

    async def update(self, record: Entry) -> None:
        connection = _part(record.connection_id)
        key = f"connections/{connection}"
        while (found := await self._read("head_object", key)) is not None:
            if await self._replace(key, found["ETag"], record.value, {"expires-at": str(record.expires_at)}):
                if found["Metadata"]["expires-at"] != str(record.expires_at):
                    await self._put(_expiry_key(record.expires_at, connection))
                return

    async def load(self, connection_id: str) -> Entry | None:
        found = await self._get(f"connections/{_part(connection_id)}")
        return None if found is None else Entry(connection_id, found.body, int(found.metadata["expires-at"]))

    async def delete(self, connection_id: str) -> None:
        connection = _part(connection_id)
        await self._forget(connection, *await gather(self._memberships(connection), self._expires_at(connection)))

    async def hold(self, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
        await self._put(f"pending/{_part(connection_id)}", _joined(messages))

    # S3 can write on the condition that what was read is still there: of those who read the same, one writes. An ETag
    # tells bodies apart and not metadata, so that a claim stands in the body.

    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        key = f"pending/{_part(connection_id)}"
        while (found := await self._get(key)) is not None and found.body:
            messages, claim = _split(found.body)
            if claim is not None and claim.owner != owner and claim.until > now:
                return Pending(claim.owner, messages)
            if await self._replace(key, found.etag, _joined(messages) + _Claim(owner, until).encoded):
                return Pending(owner, messages)
        return None

    async def release(self, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
        # Without messages it stays, and is deleted with the connection: to delete it now would have no condition.
        key = f"pending/{_part(connection_id)}"
        while (found := await self._get(key)) is not None:
            _, claim = _split(found.body)
            if claim is None or claim.owner != owner or await self._replace(key, found.etag, _joined(messages)):
                return

    async def purge(self, now: int, most: int) -> None:
        listed = await self._list("expiry/", most)
        overdue = [self._overdue.popleft() for _ in range(min(most, len(self._overdue)))]
        due = [key for key in listed.keys if int(key.split("/")[1]) <= now]
        await gather(
            self._delete([key for membership in overdue for key in membership.keys]),
            *(self._purge(key, now) for key in due),
        )

    async def _purge(self, key: str, now: int) -> None:
        """Forget the connection of a key below `expiry/`, unless its record was renewed."""
        connection = key.split("/")[2]
        expires_at = await self._expires_at(connection)
        if expires_at is not None and expires_at <= now:
            await self._forget(connection, await self._memberships(connection), expires_at)
        else:
            await self._delete([key])

    async def _expires_at(self, connection: str) -> int | None:
        """When a record expires; `None` where there is none."""
        answer = await self._read("head_object", f"connections/{connection}")
        return None if answer is None else int(answer["Metadata"]["expires-at"])

    async def _forget(self, connection: str, memberships: Iterable[_Membership], expires_at: int | None) -> None:
        keys = [key for membership in memberships for key in membership.keys]
        keys += [f"pending/{connection}", f"connections/{connection}"]
        await self._delete(keys if expires_at is None else [*keys, _expiry_key(expires_at, connection)])

    # Groups

    async def join(self, group: str, member: Entry) -> None:
        membership, body = self._membership(group, member)
        in_group, at_connection = membership.keys
        # When it was written tells the last one of several, which differ in their value: see `_member`.
        written = {"written-at": str(time.time_ns())}
        await gather(
            self._put(in_group, body, written),
            self._put(at_connection, group.encode() if _is_hash(membership.group) else b""),
        )

    async def leave(self, group: str, connection_id: str) -> None:
        own, connection = _part(group), _part(connection_id)
        # Both halves are looked for: a join that was cut off may have left one alone.
        found = await gather(
            self._all_keys(f"groups/{own}/{connection}/"), self._all_keys(f"memberships/{connection}/{own}/")
        )
        tails = {key.rpartition("/")[2] for keys in found for key in keys}
        await self._delete([key for tail in tails for key in _Membership(own, connection, tail).keys])

    async def leave_all(self, connection_id: str) -> None:
        memberships = await self._memberships(_part(connection_id))
        await self._delete([key for membership in memberships for key in membership.keys])

    async def groups(self, connection_id: str) -> list[str]:
        memberships = await self._memberships(_part(connection_id))
        groups = {membership.group: membership.keys[1] for membership in memberships}
        names = await gather(*(self._body(key) for group, key in groups.items() if _is_hash(group)))
        plain = [_decode(group) for group in groups if not _is_hash(group)]
        return [name.decode() for name in (*plain, *names) if name is not None]

    async def members(self, group: str, after: str | None, limit: int) -> Page:
        own = _part(group)
        # A connection that joined with two values stands there twice. A few keys more than members are asked for, so
        # that the second of a pair is not cut off from the first.
        start = None if after is None else f"groups/{own}/{after}/{_AFTER_ALL}"
        listed = await self._list(f"groups/{own}/", min(limit + 8, _MOST_KEYS), start)
        found: dict[str, list[_Membership]] = {}
        for key in listed.keys:
            _, _, connection, tail = key.split("/")
            found.setdefault(connection, []).append(_Membership(own, connection, tail))
        if listed.is_truncated and len(found) > 1:
            found.popitem()  # it may go on in the next page
        connections = list(found)[:limit]
        is_last = not listed.is_truncated and len(connections) == len(found)

        members, loading, now = [], [], time.time()
        for connection in connections:
            self._overdue += [each for each in found[connection] if each.expires_at <= now]
            entry = _plain(found[connection][0])
            if entry is None or len(found[connection]) > 1:
                loading.append(self._member(found[connection]))
            else:
                members.append(entry)
        members += [entry for entry in await gather(*loading) if entry is not None]
        return Page(members, None if is_last else connections[-1])

    async def _member(self, memberships: Sequence[_Membership]) -> Entry | None:
        """A member whose keys do not tell all: it joined with several values, or its id or value is too long.
        `None` if it has left meanwhile."""
        loaded = await gather(*(self._get(membership.keys[0]) for membership in memberships))
        there = [(found, own) for found, own in zip(loaded, memberships, strict=True) if found is not None]
        if not there:
            return None
        last, membership = max(there, key=lambda each: int(each[0].metadata["written-at"]))
        name, _, value = last.body.partition(_NUL)
        return _plain(membership) or Entry(name.decode(), value, membership.expires_at)

    async def _memberships(self, connection: str) -> list[_Membership]:
        keys = await self._all_keys(f"memberships/{connection}/")
        return [_Membership(group, connection, tail) for _, _, group, tail in (key.split("/") for key in keys)]

    def _membership(self, group: str, member: Entry) -> tuple[_Membership, bytes]:
        """A membership, and the body of its object: empty where the key has it all."""
        own, connection = _part(group), _part(member.connection_id)
        plain = _Membership(own, connection, f"{member.expires_at}-{_encode(member.value)}")
        if not _is_hash(connection) and len(f"{self._prefix}{plain.keys[1]}".encode()) <= _LONGEST_KEY:
            return plain, b""
        body = member.connection_id.encode() + _NUL + member.value
        return _Membership(own, connection, f"{member.expires_at}={sha256(body).hexdigest()}"), body

    # Requests

    async def _put(
        self, key: str, body: bytes = b"", metadata: dict[str, str] | None = None, **conditions: str
    ) -> None:
        await self._aws.request(
            "put_object",
            Bucket=self._bucket,
            Key=f"{self._prefix}{key}",
            Body=body,
            Metadata=metadata or {},
            **conditions,
        )

    async def _replace(self, key: str, etag: str, body: bytes, metadata: dict[str, str] | None = None) -> bool:
        """Write an object if it is still as it was read. Returns whether it is."""
        try:
            await self._put(key, body, metadata, IfMatch=etag)
        except ClientError as error:
            if error_code(error) not in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"):
                raise
            return False
        return True

    async def _get(self, key: str) -> _Object | None:
        answer = await self._read("get_object", key)
        if answer is None:
            return None
        async with answer["Body"] as stream:
            return _Object(await stream.read(), answer["Metadata"], answer["ETag"])

    async def _body(self, key: str) -> bytes | None:
        found = await self._get(key)
        return None if found is None else found.body

    async def _read(self, operation: str, key: str) -> Any:
        """The answer about an object; `None` where there is none."""
        try:
            return await self._aws.request(operation, Bucket=self._bucket, Key=f"{self._prefix}{key}")
        except ClientError as error:
            if error_code(error) in ("NoSuchKey", "404"):
                return None
            raise

    async def _list(self, prefix: str, most: int, after: str | None = None) -> _Listed:
        """At most so many keys that begin with `prefix`, in their order, behind the key `after`."""
        answer = await self._aws.request(
            "list_objects_v2",
            Bucket=self._bucket,
            Prefix=f"{self._prefix}{prefix}",
            MaxKeys=most,
            **({} if after is None else {"StartAfter": f"{self._prefix}{after}"}),
        )
        keys = [found["Key"].removeprefix(self._prefix) for found in answer.get("Contents", ())]
        return _Listed(keys, answer["IsTruncated"])

    async def _all_keys(self, prefix: str) -> list[str]:
        listed = await self._list(prefix, _MOST_KEYS)
        keys = [*listed.keys]
        while listed.is_truncated:
            listed = await self._list(prefix, _MOST_KEYS, keys[-1])
            keys += listed.keys
        return keys

    async def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _MOST_KEYS):
            await self._delete_batch(keys[start : start + _MOST_KEYS])

    async def _delete_batch(self, keys: Iterable[str]) -> None:
        objects = [{"Key": f"{self._prefix}{key}"} for key in keys]
        errors: Sequence[dict[str, str]] = ()
        for delay in (0.0, *delays()):
            await asyncio.sleep(delay)
            answer = await self._aws.request(
                "delete_objects", Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
            errors = answer.get("Errors", ())
            if not errors:
                return
            objects = [{"Key": error["Key"]} for error in errors]
        raise BackendError(f"S3 did not delete {len(errors)} objects ({errors[0]['Code']}: {errors[0]['Message']}).")


@dataclass(frozen=True)
class _Object:
    body: bytes
    metadata: dict[str, str]
    etag: str


@dataclass(frozen=True)
class _Listed:
    keys: Sequence[str]  # without the prefix of the DSN
    is_truncated: bool


def _plain(membership: _Membership) -> Entry | None:
    """The member, if the key tells all of it."""
    if (value := membership.value) is None:
        return None
    return Entry(_decode(membership.connection).decode(), value, membership.expires_at)


def _expiry_key(expires_at: int, connection: str) -> str:
    return f"expiry/{expires_at:012d}/{connection}"  # in the order of time


@dataclass(frozen=True)
class _Claim:
    """A claim to pending messages, which stands behind them."""

    owner: str
    until: float  # Unix seconds

    @property
    def encoded(self) -> bytes:
        return _NO_LENGTH + f"{self.until:.3f} {self.owner}".encode()

    @classmethod
    def decode(cls, encoded: bytes) -> _Claim:
        until, _, owner = encoded.decode().partition(" ")
        return cls(owner, float(until))


def _joined(messages: Sequence[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def _split(body: bytes) -> tuple[list[bytes], _Claim | None]:
    """The messages in an object, and the claim to them."""
    messages: list[bytes] = []
    position = 0
    while position < len(body):
        start = position + 4
        length = body[position:start]
        if length == _NO_LENGTH:
            return messages, _Claim.decode(body[start:])
        position = start + int.from_bytes(length, "big")
        messages.append(body[start:position])
    return messages, None


# Names and values in keys


def _part(name: str) -> str:
    """A name as a part of a key."""
    plain = name.encode()
    if len(plain) <= _LONGEST_PLAIN_NAME:
        return _encode(plain)
    return f"{_HASHED}{sha256(plain).hexdigest()}"


def _is_hash(part: str) -> bool:
    return part.startswith(_HASHED)


def _encode(plain: bytes) -> str:
    return urlsafe_b64encode(plain).rstrip(b"=").decode()


def _decode(encoded: str) -> bytes:
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
