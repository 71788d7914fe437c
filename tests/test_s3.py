"""What is peculiar to S3: its bucket, its keys, and what stands in for what it cannot do."""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from functools import partial
from hashlib import sha256
from uuid import uuid4

import pytest

from mangum.backends.base import Entry, Pending
from mangum.backends.store import Store
from mangum.exceptions import BackendError, ConfigurationError
from tests.servers.moto import REGION, S3Server, dsn

LATER = 4_000_000_000

pytestmark = pytest.mark.anyio

LONG = "a long name of a connection or a group " * 26  # about 1,000 bytes
RIGHTS = "s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects"


def error(code: str, message: str = "as ordered") -> str:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"


def record(value: bytes = b"value") -> Entry:
    return Entry(uuid4().hex, value, int(time.time()) + 86_400)


def b64(text: str) -> str:
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.fixture
def server(s3_server: S3Server) -> S3Server:
    s3_server.requests()
    return s3_server


@pytest.fixture
def bucket() -> str:
    return f"bucket-{uuid4().hex}"


@pytest.fixture
async def store(server: S3Server, bucket: str) -> AsyncIterator[Store]:
    store = Store.of(dsn("s3", bucket, server.port))
    yield store
    await store.close()


@pytest.fixture
async def second(server: S3Server, bucket: str) -> AsyncIterator[Store]:
    store = Store.of(dsn("s3", bucket, server.port))
    yield store
    await store.close()


@pytest.fixture
async def opened(server: S3Server, store: Store) -> Store:
    await store.open()
    server.requests()
    return store


async def keys(server: S3Server, bucket: str) -> list[str]:
    async with server.client() as client:
        return [found["Key"] for found in (await client.list_objects_v2(Bucket=bucket)).get("Contents", ())]


async def members(store: Store, group: str) -> list[Entry]:
    return in_order([member async for page in store.pages(group) for member in page])


def in_order(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.connection_id)


def kinds(requests: list[str]) -> list[str]:
    """Requests without what they are about: GET of an object, list, ..."""
    found = []
    for request in requests:
        method, _, url = request.partition(" ")
        _, _, query = url.partition("?")
        found.append("LIST" if "list-type" in query else f"{method} {query.split('=')[0]}".strip())
    return sorted(found)


class TestDSN:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("s3://?region=eu-central-1", "names no bucket"),
            ("s3:///prefix?region=eu-central-1", "names no bucket"),
            ("s3://ab?region=eu-central-1", "names no bucket"),
            ("s3://a:bucket?region=eu-central-1", "names no bucket"),
            ("s3://bucket?region=eu-central-1&acl=public", "a parameter that is not known: acl. s3:// takes region"),
            ("s3://AKIA:secret@bucket?region=eu-central-1", "has credentials"),
            ("s3://bucket", "has no region: add ?region="),
            (f"s3://bucket/{'x' * 513}?region=eu-central-1", "has a prefix of more than 512 bytes"),
        ],
    )
    def test_what_it_does_not_say_is_told_when_the_store_is_built(
        self, aws_environment: None, text: str, message: str
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Store.of(text)
        assert message in str(caught.value)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("path", "prefix"),
        [
            ("", ""),
            ("/", ""),
            ("/App", "App/"),
            ("/App/", "App/"),
            ("/a/b//c", "a/b//c/"),
            ("/a%20b/%C3%A9%2F%25", "a b/é/%/"),
            (f"/{'x' * 512}", f"{'x' * 512}/"),
        ],
    )
    async def test_the_prefix(self, server: S3Server, bucket: str, path: str, prefix: str) -> None:
        store = Store.of(dsn("s3", f"{bucket}{path}", server.port))
        ann, bob = record(b"v" * 300), Entry(LONG, b"value", int(time.time()) + 86_400)
        await store.save(ann)
        for group in ("red", LONG):
            for member in (ann, bob):
                await store.join(group, member)
        found = await keys(server, bucket)
        assert f"{prefix}connections/{b64(ann.connection_id)}" in found
        assert {key.startswith(prefix) for key in found} == {True}
        assert await store.load(ann.connection_id) == ann
        for group in ("red", LONG):
            assert await members(store, group) == in_order([ann, bob])
        assert sorted(await store.groups(LONG)) == sorted(["red", LONG])
        for connection_id in (ann.connection_id, LONG):
            await store.delete(connection_id)
        assert await keys(server, bucket) == []
        await store.close()


class TestBucket:
    @pytest.mark.parametrize("region", ["eu-central-1", "us-east-1"])
    async def test_it_is_created_in_its_region(self, server: S3Server, bucket: str, region: str) -> None:
        store = Store.of(dsn("s3", bucket, server.port, region=region))
        await store.open()
        async with server.client(region) as client:
            location = (await client.get_bucket_location(Bucket=bucket))["LocationConstraint"]
        assert location == (None if region == "us-east-1" else region)
        await store.close()

    async def test_one_that_is_there_is_used(self, server: S3Server, opened: Store, second: Store) -> None:
        assert await second.load("unknown") is None
        assert kinds(server.requests()) == ["GET", "LIST"]

    async def test_two_create_it_at_the_same_time(
        self, server: S3Server, bucket: str, store: Store, second: Store
    ) -> None:
        async with server.client() as client:
            location = {"LocationConstraint": REGION}
            await client.create_bucket(Bucket=bucket, CreateBucketConfiguration=location)
        with server.failing("list-type=2", 404, error("NoSuchBucket")):  # as it was a moment ago
            await store.open()
        kept = record()
        await store.save(kept)
        assert await second.load(kept.connection_id) == kept

    @pytest.mark.parametrize(
        ("status", "code"), [(403, "AccessDenied"), (409, "BucketAlreadyExists"), (400, "InvalidBucketName")]
    )
    async def test_the_error_says_what_to_create(
        self, server: S3Server, bucket: str, store: Store, status: int, code: str
    ) -> None:
        with (
            server.failing(f"PUT /{bucket}", status, error(code, "so it is")),
            pytest.raises(ConfigurationError) as caught,
        ):
            await store.open()
        assert str(caught.value) == (
            f"The bucket {bucket} is missing in {REGION} and could not be created ({code}: so it is). Create a general "
            f"purpose bucket there with these rights: {RIGHTS}."
        )
        await store.open()  # with the rights

    async def test_another_error_is_told(self, server: S3Server, bucket: str, store: Store) -> None:
        with (
            server.failing(f"PUT /{bucket}", 400, error("TooManyBuckets", "100 buckets")),
            pytest.raises(BackendError, match=r"failed to open: .*TooManyBuckets.*100 buckets"),
        ):
            await store.open()
        with (
            server.failing("list-type=2", 400, error("InvalidRequest", "no list")),
            pytest.raises(BackendError, match=r"failed to open: .*InvalidRequest.*no list"),
        ):
            await store.open()

    async def test_one_that_may_not_be_listed_is_told(self, server: S3Server, bucket: str, store: Store) -> None:
        with (
            server.failing("list-type=2", 403, error("AccessDenied", "no right to ListBucket")),
            pytest.raises(ConfigurationError) as caught,
        ):
            await store.open()
        assert str(caught.value) == (
            f"The bucket {bucket} is there and may not be listed (AccessDenied: no right to ListBucket). What is "
            f"needed: {RIGHTS}. If it belongs to somebody else, name another one."
        )

    async def test_one_that_was_deleted_is_created_again(self, server: S3Server, bucket: str, opened: Store) -> None:
        async with server.client() as client:
            await client.delete_bucket(Bucket=bucket)
        kept = record()
        await opened.save(kept)
        assert await opened.load(kept.connection_id) == kept

    async def test_its_keys(self, server: S3Server, bucket: str, opened: Store) -> None:
        await opened.save(Entry("ann/1=", b"her record", 4_000_000_000))
        await opened.hold("ann/1=", [b"1", b"22"], 4_000_000_001)
        await opened.join("red team", Entry("ann/1=", b"her endpoint", 4_000_000_002))
        ann, red, value = b64("ann/1="), b64("red team"), b64("her endpoint")
        assert await keys(server, bucket) == [
            f"connections/{ann}",
            f"expiry/004000000000/{ann}",
            f"groups/{red}/{ann}/4000000002-{value}",
            f"memberships/{ann}/{red}/4000000002-{value}",
            f"pending/{ann}",
        ]
        async with server.client() as client:
            found = await client.get_object(Bucket=bucket, Key=f"connections/{ann}")
            assert (await found["Body"].read(), found["Metadata"]) == (b"her record", {"expires-at": "4000000000"})
            found = await client.get_object(Bucket=bucket, Key=f"pending/{ann}")
            assert await found["Body"].read() == b"\0\0\0\x011\0\0\0\x0222"
        await opened.delete("ann/1=")
        assert await keys(server, bucket) == []


class TestRequests:
    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No request is sent again because the server is slow."""
        monkeypatch.setattr("mangum.backends.store._FIRST_ATTEMPT_S", 60.0)

    async def test_their_number(self, server: S3Server, opened: Store) -> None:
        kept = record()
        for call, expected in (
            (opened.save(kept), ["PUT", "PUT"]),
            (opened.load(kept.connection_id), ["GET"]),
            (opened.update(kept), ["HEAD", "PUT"]),
            (opened.claim(kept.connection_id, "ann", LATER), ["GET"]),
            (opened.hold(kept.connection_id, [b"1"], kept.expires_at), ["PUT"]),
            (opened.claim(kept.connection_id, "ann", LATER), ["GET", "PUT"]),
            (opened.claim(kept.connection_id, "bob", LATER), ["GET"]),
            (opened.release(kept.connection_id, "bob", []), ["GET"]),
            (opened.release(kept.connection_id, "ann", []), ["GET", "PUT"]),
            (opened.join("red", kept), ["PUT", "PUT"]),
            (opened.groups(kept.connection_id), ["LIST"]),
            (opened.leave("red", kept.connection_id), ["LIST", "LIST", "POST delete"]),
            (opened.leave("red", kept.connection_id), ["LIST", "LIST"]),
            (opened.leave_all(kept.connection_id), ["LIST"]),
            (opened.purge(), ["LIST"]),
            (opened.delete(kept.connection_id), ["HEAD", "LIST", "POST delete"]),
        ):
            await call
            assert kinds(server.requests()) == expected

    async def test_a_body_is_sent_at_once(self, server: S3Server, opened: Store) -> None:
        await opened.save(record(b"v" * 100_000))
        assert [request for request in server.requests() if "Expect" in request] == []

    async def test_a_page_of_a_group_loads_no_objects(self, server: S3Server, opened: Store) -> None:
        joined = [record(b"https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/production") for _ in range(60)]
        for member in joined:
            await opened.join("red", member)
        server.requests()
        pages = [page async for page in opened.pages("red", 25)]
        assert kinds(server.requests()) == ["LIST", "LIST", "LIST"]
        assert [len(page) for page in pages] == [25, 25, 10]
        assert in_order([member for page in pages for member in page]) == in_order(joined)

    async def test_only_what_no_key_can_hold_is_loaded(self, server: S3Server, opened: Store) -> None:
        short, long_id = record(b"short"), Entry(LONG, b"short", int(time.time()) + 86_400)
        long_value = record(bytes(range(256)) * 500)
        for member in (short, long_id, long_value):
            await opened.join("red", member)
        server.requests()
        assert await members(opened, "red") == in_order([short, long_id, long_value])
        assert kinds(server.requests()) == ["GET", "GET", "LIST"]
        for member in (long_id, long_value):
            await opened.leave("red", member.connection_id)
        assert await members(opened, "red") == [short]

    async def test_a_member_that_leaves_while_it_is_loaded_is_left_out(self, server: S3Server, opened: Store) -> None:
        short, long_value = record(b"short"), record(b"long" * 300)
        for member in (short, long_value):
            await opened.join("red", member)
        with server.failing(f"/groups/{b64('red')}/{b64(long_value.connection_id)}", 404, error("NoSuchKey")):
            assert await members(opened, "red") == [short]

    async def test_a_group_that_is_left_while_it_is_loaded_is_left_out(self, server: S3Server, opened: Store) -> None:
        member = record()
        for group in ("red", LONG):
            await opened.join(group, member)
        with server.failing(f"/memberships/{b64(member.connection_id)}/%3D", 404, error("NoSuchKey")):
            assert await opened.groups(member.connection_id) == ["red"]

    async def test_lists_of_many_keys(
        self, server: S3Server, bucket: str, opened: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mangum.backends.s3._MOST_KEYS", 3)
        member = record()
        groups = [f"group {number}" for number in range(10)]
        await opened.save(member)
        for group in groups:
            await opened.join(group, member)
        server.requests()
        assert sorted(await opened.groups(member.connection_id)) == groups
        assert kinds(server.requests()) == ["LIST"] * 4
        await opened.delete(member.connection_id)
        assert kinds(server.requests()) == ["HEAD", *["LIST"] * 4, *["POST delete"] * 8]
        assert await keys(server, bucket) == []

    async def test_throttled_ones_are_repeated(self, server: S3Server, opened: Store) -> None:
        kept = record()
        await opened.save(kept)
        server.requests()
        with server.failing("GET", 503, error("SlowDown"), times=2):
            assert await opened.load(kept.connection_id) == kept
        assert kinds(server.requests()) == ["GET"] * 3

    async def test_refused_ones_are_not_repeated(self, server: S3Server, opened: Store) -> None:
        denied = error("AccessDenied", "no right to this object")
        for request, call in (("PUT", partial(opened.save, record())), ("GET", partial(opened.load, "ann"))):
            with (
                server.failing(request, 403, denied),
                pytest.raises(BackendError, match=r"failed to .*: .*no right to this object"),
            ):
                await call()
            requests = server.requests()
            assert len(requests) == len(set(requests))

    async def test_deletions_that_failed_are_repeated(self, server: S3Server, bucket: str, opened: Store) -> None:
        member = record()
        await opened.join("red", member)
        left = [f"<Error><Key>{key}</Key><Code>InternalError</Code></Error>" for key in await keys(server, bucket)]
        server.requests()
        with server.failing("POST", 200, f"<DeleteResult>{''.join(left)}</DeleteResult>", times=2):
            await opened.leave("red", member.connection_id)
        assert kinds(server.requests()) == ["LIST", "LIST", *["POST delete"] * 3]
        assert await keys(server, bucket) == []

    async def test_deletions_fail_for_long(self, server: S3Server, opened: Store) -> None:
        member = record()
        await opened.join("red", member)
        server.requests()
        refused = "<Error><Key>key</Key><Code>AccessDenied</Code><Message>no right to it</Message></Error>"
        with (
            server.failing("POST", 200, f"<DeleteResult>{refused}</DeleteResult>"),
            pytest.raises(BackendError, match=r"S3 did not delete 1 objects \(AccessDenied: no right to it\)"),
        ):
            await opened.leave_all(member.connection_id)
        assert kinds(server.requests()) == ["LIST", *["POST delete"] * 5]


class TestPending:
    async def test_what_is_held_while_they_are_claimed_is_not_lost(self, opened: Store, second: Store) -> None:
        """A claim of what was held before does not come over what is held since."""
        for number in range(10):
            await opened.hold("ann", [b"before"], 4_000_000_000)
            await asyncio.gather(
                *(store.claim("ann", f"owner{number}", 0) for store in (opened, second)),
                opened.hold("ann", [b"%d" % number], 4_000_000_000),
                *(store.claim("ann", f"owner{number}", 0) for store in (opened, second)),
            )
            assert await opened.claim("ann", "reader", 0) == Pending("reader", [b"%d" % number])

    @pytest.mark.parametrize(
        ("status", "code"), [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed"), (404, "NoSuchKey")]
    )
    async def test_a_conflict_is_resolved(self, server: S3Server, opened: Store, status: int, code: str) -> None:
        kept = record()
        await opened.save(kept)
        await opened.hold("ann", [b"1"], 4_000_000_000)
        server.requests()
        for call, read in (
            (opened.claim("ann", "owner", LATER), "GET"),
            (opened.release("ann", "owner", []), "GET"),
            (opened.update(kept), "HEAD"),
        ):
            with server.failing("PUT", status, error(code), times=1):
                await call
            assert kinds(server.requests()) == sorted([read, "PUT"] * 2)
        assert await opened.claim("ann", "owner", LATER) is None

    async def test_they_stay_where_they_cannot_be_claimed(self, server: S3Server, opened: Store) -> None:
        await opened.hold("ann", [b"1"], 4_000_000_000)
        with (
            server.failing("PUT", 403, error("AccessDenied", "no right to PutObject")),
            pytest.raises(BackendError, match=r"failed to claim messages: .*no right to PutObject"),
        ):
            await opened.claim("ann", "owner", LATER)
        assert await opened.claim("ann", "owner", LATER) == Pending("owner", [b"1"])

    async def test_a_record_that_lives_longer_is_found_when_it_expires(
        self, server: S3Server, bucket: str, opened: Store
    ) -> None:
        await opened.save(Entry("ann", b"", 4_000_000_000))
        await opened.update(Entry("ann", b"", 4_000_000_060))
        async with server.client() as client:
            listed = await client.list_objects_v2(Bucket=bucket, Prefix="expiry/")
        assert [found["Key"].split("/")[1] for found in listed["Contents"]] == ["004000000000", "004000000060"]


class TestMemberships:
    async def test_of_several_values_the_last_counts(self, server: S3Server, bucket: str, opened: Store) -> None:
        ann = [Entry("ann", value, 4_000_000_000) for value in (b"1", b"2", b"3", b"long" * 300, b"2")]
        for member in ann:
            await opened.join("red", member)
        await opened.join("red", Entry("bob", b"1", 4_000_000_000))
        server.requests()
        assert await members(opened, "red") == [ann[-1], Entry("bob", b"1", 4_000_000_000)]
        assert kinds(server.requests()) == ["GET", "GET", "GET", "GET", "LIST"]
        await opened.join("red", ann[3])
        assert (await members(opened, "red"))[0] == ann[3]
        assert await opened.groups("ann") == ["red"]
        await opened.leave("red", "ann")
        assert await members(opened, "red") == [Entry("bob", b"1", 4_000_000_000)]
        await opened.leave_all("bob")
        assert await keys(server, bucket) == []

    @pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
    async def test_members_with_several_values_are_in_one_page(self, opened: Store, size: int) -> None:
        joined = [Entry(f"member {number}", b"last", 4_000_000_000) for number in range(12)]
        for number, member in enumerate(joined):
            for value in range(number % 4):
                await opened.join("red", Entry(member.connection_id, b"%d" % value, 4_000_000_000 + value))
            await opened.join("red", member)
        pages = [page async for page in opened.pages("red", size)]
        assert max(map(len, pages)) <= size
        assert in_order([member for page in pages for member in page]) == in_order(joined)

    async def test_one_with_more_values_than_a_page_has_keys_is_given_once(
        self, opened: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mangum.backends.s3._MOST_KEYS", 3)
        for connection_id in ("ann", "bob"):
            for number in range(5):
                await opened.join("red", Entry(connection_id, b"%d" % number, 4_000_000_000))
        assert [member.connection_id for member in await members(opened, "red")] == ["ann", "bob"]

    @pytest.mark.parametrize("half", ["groups", "memberships"])
    async def test_half_of_a_membership_can_be_left(
        self, server: S3Server, bucket: str, opened: Store, half: str
    ) -> None:
        """A join that was cut off may leave one."""
        await opened.join("red", record())
        [key] = [key for key in await keys(server, bucket) if not key.startswith(f"{half}/")]
        connection_id = (await members(opened, "red"))[0].connection_id
        async with server.client() as client:
            await client.delete_object(Bucket=bucket, Key=key)
        await opened.leave("red", connection_id)
        assert await keys(server, bucket) == []

    async def test_names_are_hashed_where_they_are_long(self, server: S3Server, bucket: str, opened: Store) -> None:
        expires_at = int(time.time()) + 86_400
        await opened.join(LONG, Entry(LONG, b"value", expires_at))
        name = f"={sha256(LONG.encode()).hexdigest()}"
        body = LONG.encode() + b"\0value"
        assert await keys(server, bucket) == [
            f"groups/{name}/{name}/{expires_at}={sha256(body).hexdigest()}",
            f"memberships/{name}/{name}/{expires_at}={sha256(body).hexdigest()}",
        ]
        assert await opened.groups(LONG) == [LONG]


class TestPurge:
    async def test_expired_connections_are_removed(self, server: S3Server, bucket: str, opened: Store) -> None:
        past = int(time.time()) - 60
        stays = record()
        for connection_id in ("ann", LONG):
            await opened.save(Entry(connection_id, b"record", past))
            await opened.hold(connection_id, [b"1"], past)
            await opened.join("red", Entry(connection_id, b"value", past))
        await opened.save(stays)
        await opened.join("red", stays)
        before = await keys(server, bucket)
        await opened.purge()
        connection = b64(stays.connection_id)
        assert await keys(server, bucket) == [key for key in before if connection in key]
        assert await members(opened, "red") == [stays]

    async def test_the_oldest_go_first_and_few_at_a_time(self, server: S3Server, bucket: str, opened: Store) -> None:
        past = int(time.time()) - 100
        for age in range(25):
            await opened.save(Entry(f"connection {age:02}", b"", past - age))
        left = []
        for _ in range(4):
            left.append([key for key in await keys(server, bucket) if key.startswith("connections/")])
            await opened.purge()
        names = [f"connections/{b64(f'connection {age:02}')}" for age in range(25)]
        assert left == [names, names[:15], names[:5], []]

    async def test_what_was_renewed_stays(self, server: S3Server, bucket: str, opened: Store) -> None:
        now = int(time.time())
        for expires_at in (now - 60, now + 600):
            await opened.save(Entry("ann", b"record", expires_at))
        await opened.purge()
        assert await opened.load("ann") == Entry("ann", b"record", now + 600)
        assert await keys(server, bucket) == [f"connections/{b64('ann')}", f"expiry/{now + 600:012}/{b64('ann')}"]

    async def test_expired_members_that_a_page_had_are_removed(
        self, server: S3Server, bucket: str, opened: Store
    ) -> None:
        """Their connection may be gone already: a join can come after its end."""
        for number in range(15):
            await opened.join("red", Entry(f"member {number}", b"", int(time.time()) - 60))
        stays = record()
        await opened.join("red", stays)
        assert await members(opened, "red") == [stays]
        await opened.purge()
        assert len(await keys(server, bucket)) == 2 * 6
        await opened.purge()
        assert len(await keys(server, bucket)) == 2
        assert await members(opened, "red") == [stays]

    async def test_two_purge_at_the_same_time(
        self, server: S3Server, bucket: str, opened: Store, second: Store
    ) -> None:
        for number in range(10):
            await opened.save(Entry(f"connection {number}", b"", int(time.time()) - 60))
        await asyncio.gather(opened.purge(), second.purge())
        assert await keys(server, bucket) == []
