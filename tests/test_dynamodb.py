"""What is peculiar to DynamoDB: its table, its limits, its throttling, and how DSNs name AWS's services."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from mangum.backends.base import Entry, Pending
from mangum.backends.dsn import DSN
from mangum.backends.store import Store, backend_of
from mangum.exceptions import BackendError, ConfigurationError
from tests.servers.moto import REGION, DynamoDBServer, dsn
from tests.servers.proxy import proxy_to

LATER = 4_000_000_000

pytestmark = pytest.mark.anyio

SCHEMA = {
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
    ],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "BillingMode": "PAY_PER_REQUEST",
}


def error(code: str, message: str = "as ordered") -> str:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message})


def record(value: bytes = b"value") -> Entry:
    return Entry(uuid4().hex, value, int(time.time()) + 86_400)


@pytest.fixture
def server(dynamodb_server: DynamoDBServer) -> DynamoDBServer:
    dynamodb_server.requests()
    return dynamodb_server


@pytest.fixture
def table() -> str:
    return f"Table-{uuid4().hex}"


@pytest.fixture
async def store(server: DynamoDBServer, table: str) -> AsyncIterator[Store]:
    store = Store.of(dsn("dynamodb", table, server.port))
    yield store
    await store.close()


@pytest.fixture
async def opened(server: DynamoDBServer, store: Store) -> Store:
    await store.open()
    server.requests()
    return store


class TestDSN:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("dynamodb://?region=eu-central-1", "names no table"),
            ("dynamodb://ab?region=eu-central-1", "names no table"),
            ("dynamodb://a%20table?region=eu-central-1", "names no table"),
            ("dynamodb://table/path?region=eu-central-1", "names no table"),
            (
                "dynamodb://table?region=eu-central-1&Region=x",
                "a parameter that is not known: Region. dynamodb:// takes",
            ),
            ("dynamodb://AKIA:secret@table?region=eu-central-1", "has credentials"),
            ("dynamodb://table?region=eu-central-1&endpoint_url=localhost:8000", "must begin with http:// or https://"),
            (
                "dynamodb://table?region=eu-central-1&endpoint_url=http://ann:secret@host",
                r"The `endpoint_url` of the DSN dynamodb://table?region=***&endpoint_url=*** has a user, a query or",
            ),
            ("dynamodb://table?region=not%20one", "has no region that could be used"),
            ("dynamodb://table", "has no region: add ?region="),
            ("dynamodb://table?region=", "has no region: add ?region="),
        ],
    )
    def test_what_it_does_not_say_is_told_when_the_store_is_built(
        self, aws_environment: None, text: str, message: str
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Store.of(text)
        assert message in str(caught.value)
        assert "secret" not in str(caught.value)

    def test_a_profile_that_is_missing_is_told(self, aws_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "missing")
        with pytest.raises(ConfigurationError, match=r"has no region that could be used: .*missing"):
            Store.of("dynamodb://table")

    @pytest.mark.parametrize(
        ("own", "environment", "expected"),
        [
            ("us-west-1", {"AWS_REGION": "us-west-2"}, "us-west-1"),
            (None, {"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-east-2"}, "us-west-2"),
            (None, {"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-2"}, "us-east-2"),
            (None, {"AWS_PROFILE": "far-away"}, "ap-south-1"),
        ],
        ids=["the DSN's", "Lambda's", "the default", "the profile's"],
    )
    async def test_the_region(
        self,
        server: DynamoDBServer,
        table: str,
        own: str | None,
        environment: dict[str, str],
        expected: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "config").write_text("[profile far-away]\nregion = ap-south-1\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        parameters = "" if own is None else f"region={own}&"
        store = Store.of(f"dynamodb://{table}?{parameters}endpoint_url=http://127.0.0.1:{server.port}")
        await store.open()
        await store.close()
        async with server.client(expected) as client:
            assert (await client.list_tables())["TableNames"] == [table]
            await client.delete_table(TableName=table)


class TestConnections:
    async def test_what_was_never_opened_can_be_closed(self, server: DynamoDBServer, table: str) -> None:
        backend = backend_of(DSN.parse(dsn("dynamodb", table, server.port)))
        await backend.close()
        await backend.abort()
        await backend.open()
        for _ in range(2):
            await backend.close()
            await backend.abort()

    async def test_a_call_whose_connections_were_dropped_is_one_to_repeat(
        self, server: DynamoDBServer, table: str
    ) -> None:
        backend = backend_of(DSN.parse(dsn("dynamodb", table, server.port)))
        await backend.open()
        await backend.abort()
        with pytest.raises(backend.unavailable, match="its connections were dropped"):
            await backend.load("ann")
        await backend.open()
        assert await backend.load("ann") is None
        await backend.close()

    async def test_one_connection_serves_one_call_after_another(self, server: DynamoDBServer, table: str) -> None:
        with proxy_to(server.port) as proxy:
            store = Store.of(dsn("dynamodb", table, proxy.port))
            await store.open()
            accepted = proxy.accepted
            for _ in range(20):
                await store.load("ann")
            assert proxy.accepted == accepted <= 2
            await store.close()


class TestTable:
    async def test_it_is_created(self, server: DynamoDBServer, table: str, store: Store) -> None:
        await store.open()
        async with server.client() as client:
            found = (await client.describe_table(TableName=table))["Table"]
            expiry = (await client.describe_time_to_live(TableName=table))["TimeToLiveDescription"]
        assert found["KeySchema"] == SCHEMA["KeySchema"]
        assert found["AttributeDefinitions"] == SCHEMA["AttributeDefinitions"]
        assert found["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}

    async def test_one_that_is_there_is_used(self, server: DynamoDBServer, opened: Store, table: str) -> None:
        again = Store.of(dsn("dynamodb", table, server.port))
        assert await again.load("unknown") is None
        assert sorted(server.requests()) == ["DescribeTimeToLive", "GetItem", "GetItem"]
        await again.close()

    async def test_one_that_keeps_expired_items_is_told_not_to(
        self, server: DynamoDBServer, table: str, store: Store
    ) -> None:
        async with server.client() as client:
            await client.create_table(TableName=table, **SCHEMA)
            await store.open()
            expiry = (await client.describe_time_to_live(TableName=table))["TimeToLiveDescription"]
        assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}

    async def test_one_that_keeps_expired_items_is_used_with_a_warning(
        self, server: DynamoDBServer, table: str, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        setting = {"AttributeName": "another", "Enabled": True}
        async with server.client() as client:
            await client.create_table(TableName=table, **SCHEMA)
            await client.update_time_to_live(TableName=table, TimeToLiveSpecification=setting)
        with server.failing("UpdateTimeToLive", 400, error("AccessDeniedException", "no right to UpdateTimeToLive")):
            assert await store.load("unknown") is None
        [warning] = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
        assert warning.getMessage() == (
            f"Expired connections will stay in the table {table} until its time to live is enabled on the attribute "
            "`expires_at` (AccessDeniedException: no right to UpdateTimeToLive)."
        )

    async def test_what_somebody_else_has_just_done_is_no_warning(
        self, server: DynamoDBServer, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        with server.failing("UpdateTimeToLive", 400, error("ValidationException", "TimeToLive is already enabled")):
            await store.open()
        assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []

    async def test_rights_to_the_items_suffice(
        self, server: DynamoDBServer, table: str, opened: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        again = Store.of(dsn("dynamodb", table, server.port))
        with server.failing("DescribeTimeToLive", 400, error("AccessDeniedException")):
            assert await again.load("unknown") is None
        assert "UpdateTimeToLive" not in server.requests()
        assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []
        await again.close()

    async def test_the_error_says_what_to_create(self, server: DynamoDBServer, table: str, store: Store) -> None:
        with (
            server.failing("CreateTable", 400, error("AccessDeniedException", "no right to CreateTable")),
            pytest.raises(ConfigurationError) as caught,
        ):
            await store.open()
        assert str(caught.value) == (
            f"The table {table} is missing in {REGION}, and the rights do not allow to create it "
            "(AccessDeniedException: no right to CreateTable). Create it with a partition key `pk` and a sort key "
            "`sk`, both strings, time to live on the attribute `expires_at`, and on-demand billing (PAY_PER_REQUEST)."
        )
        await store.open()  # with the rights

    async def test_another_error_is_told(self, server: DynamoDBServer, store: Store) -> None:
        with (
            server.failing("CreateTable", 400, error("LimitExceededException", "2,500 tables")),
            pytest.raises(BackendError, match=r"failed to open: .*LimitExceededException.*2,500 tables"),
        ):
            await store.open()

    async def test_a_denied_read_is_told(self, server: DynamoDBServer, store: Store) -> None:
        with (
            server.failing("GetItem", 400, error("AccessDeniedException", "no right to GetItem")),
            pytest.raises(BackendError, match=r"failed to open: .*no right to GetItem"),
        ):
            await store.open()

    async def test_one_of_another_form_is_told(self, server: DynamoDBServer, table: str, store: Store) -> None:
        async with server.client() as client:
            await client.create_table(  # as mangum 0.12 has it
                TableName=table,
                KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
                ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
            )
        with pytest.raises(ConfigurationError, match=f"The table {table} has another form than is needed .*`pk`"):
            await store.open()

    async def test_two_create_it_at_the_same_time(self, server: DynamoDBServer, table: str, store: Store) -> None:
        other = Store.of(dsn("dynamodb", table, server.port))
        with server.failing("CreateTable", 400, error("ResourceInUseException"), times=1):
            await asyncio.gather(store.open(), other.open())
        kept = record()
        await store.save(kept)
        assert await other.load(kept.connection_id) == kept
        await other.close()

    async def test_one_that_takes_too_long_is_told(
        self, server: DynamoDBServer, table: str, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mangum.backends.dynamodb._CREATION_S", 0.3)
        with (
            server.failing("CreateTable", 400, error("ResourceInUseException", "Table is being created")),
            pytest.raises(BackendError, match=f"The table {table} is being created, .* try again"),
        ):
            await store.open()
        await store.open()

    async def test_one_that_was_deleted_is_created_again(
        self, server: DynamoDBServer, table: str, opened: Store
    ) -> None:
        async with server.client() as client:
            await client.delete_table(TableName=table)
        kept = record()
        await opened.save(kept)
        assert await opened.load(kept.connection_id) == kept

    async def test_its_items(self, server: DynamoDBServer, table: str, opened: Store) -> None:
        ann = Entry("ann", b"her record", 4_000_000_000)
        await opened.save(ann)
        await opened.hold("ann", [b"1", b"2"], 4_000_000_001)
        await opened.join("red", Entry("ann", b"her endpoint", 4_000_000_002))
        async with server.client() as client:
            items = (await client.scan(TableName=table))["Items"]
        found = {(item.pop("pk")["S"], item.pop("sk")["S"]): item for item in items}
        assert found == {
            ("connection#ann", "record"): {"value": {"B": b"her record"}, "expires_at": {"N": "4000000000"}},
            ("connection#ann", "pending"): {
                "messages": {"L": [{"B": b"1"}, {"B": b"2"}]},
                "expires_at": {"N": "4000000001"},
            },
            ("members#red", "ann"): {"value": {"B": b"her endpoint"}, "expires_at": {"N": "4000000002"}},
            ("groups#ann", "red"): {"expires_at": {"N": "4000000002"}},
        }
        await opened.delete("ann")
        async with server.client() as client:
            assert (await client.scan(TableName=table))["Items"] == []


class TestRequests:
    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No request is sent again because the server is slow."""
        monkeypatch.setattr("mangum.backends.store._FIRST_ATTEMPT_S", 60.0)

    async def test_their_number(self, server: DynamoDBServer, opened: Store) -> None:
        kept = record()
        for call, expected in (
            (opened.save(kept), ["PutItem"]),
            (opened.load(kept.connection_id), ["GetItem"]),
            (opened.hold(kept.connection_id, [b"1"], kept.expires_at), ["PutItem"]),
            (opened.claim(kept.connection_id, "ann", LATER), ["GetItem", "PutItem"]),
            (opened.claim(kept.connection_id, "bob", LATER), ["GetItem"]),
            (opened.release(kept.connection_id, "ann", [b"1"]), ["GetItem", "PutItem"]),
            (opened.claim(kept.connection_id, "ann", LATER), ["GetItem", "PutItem"]),
            (opened.release(kept.connection_id, "ann", []), ["DeleteItem"]),
            (opened.claim(kept.connection_id, "ann", LATER), ["GetItem"]),
            (opened.update(kept), ["PutItem"]),
            (opened.join("red", kept), ["BatchWriteItem"]),
            (opened.groups(kept.connection_id), ["Query"]),
            (opened.leave("red", kept.connection_id), ["BatchWriteItem"]),
            (opened.leave_all(kept.connection_id), ["Query"]),
            (opened.purge(), []),
            (opened.delete(kept.connection_id), ["Query", "BatchWriteItem"]),
        ):
            await call
            assert server.requests() == expected

    async def test_a_claim_that_another_came_before_is_tried_again(self, server: DynamoDBServer, opened: Store) -> None:
        await opened.hold("ann", [b"1"], LATER)
        server.requests()
        with server.failing("PutItem", 400, error("ConditionalCheckFailedException", "no"), times=1):
            assert await opened.claim("ann", "owner", LATER) == Pending("owner", [b"1"])
        assert server.requests() == ["GetItem", "PutItem", "GetItem", "PutItem"]

    async def test_a_right_that_is_missing_is_told(self, server: DynamoDBServer, opened: Store) -> None:
        with (
            server.failing("PutItem", 400, error("AccessDeniedException", "no right to PutItem")),
            pytest.raises(BackendError, match=r"failed to update: .*no right to PutItem"),
        ):
            await opened.update(record())

    async def test_a_page_of_a_group_is_one(self, server: DynamoDBServer, opened: Store) -> None:
        members = [record() for _ in range(20)]
        for member in members:
            await opened.join("red", member)
        server.requests()
        pages = [page async for page in opened.pages("red", 15)]
        assert server.requests() == ["Query", "Query"]
        found = [member for page in pages for member in page]
        assert found == sorted(members, key=lambda member: member.connection_id)

    async def test_groups_that_fill_more_than_one_answer(
        self, server: DynamoDBServer, table: str, opened: Store
    ) -> None:
        groups = [uuid4().hex.ljust(1024, "x") for _ in range(1_050)]  # more than the 1 MB that an answer has at most
        items = [{"pk": {"S": "groups#ann"}, "sk": {"S": group}, "expires_at": {"N": "1"}} for group in groups]
        async with server.client() as client:
            for start in range(0, len(items), 25):
                puts = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
                await client.batch_write_item(RequestItems={table: puts})
        server.requests()
        assert sorted(await opened.groups("ann")) == sorted(groups)
        assert server.requests() == ["Query", "Query"]

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (400, error("ProvisionedThroughputExceededException")),
            (400, error("ThrottlingException")),
            (500, error("InternalServerError")),
            (503, ""),
        ],
        ids=["hot key", "throttled", "internal", "no body"],
    )
    async def test_throttled_ones_are_repeated(
        self, server: DynamoDBServer, opened: Store, status: int, body: str
    ) -> None:
        kept = record()
        with server.failing("PutItem", status, body, times=2):
            await opened.save(kept)
        assert server.requests() == ["PutItem"] * 3
        assert await opened.load(kept.connection_id) == kept

    async def test_they_are_throttled_for_long(self, server: DynamoDBServer, opened: Store) -> None:
        with (
            server.failing("PutItem", 400, error("ThrottlingException", "too many requests")),
            pytest.raises(BackendError, match=r"failed to save: .*ThrottlingException.*too many requests"),
        ):
            await opened.save(record())
        assert server.requests() == ["PutItem"] * 5

    async def test_refused_ones_are_not_repeated(self, server: DynamoDBServer, opened: Store) -> None:
        with (
            server.failing("BatchWriteItem", 400, error("AccessDeniedException", "no right to BatchWriteItem")),
            pytest.raises(BackendError, match=r"failed to join: ClientError: .*no right to BatchWriteItem"),
        ):
            await opened.join("red", record())
        assert server.requests() == ["BatchWriteItem"]

    async def test_writes_that_were_left_out_are_repeated(
        self, server: DynamoDBServer, table: str, opened: Store
    ) -> None:
        member = record()
        left_out = {"DeleteRequest": {"Key": {"pk": {"S": "members#red"}, "sk": {"S": member.connection_id}}}}
        await opened.join("red", member)
        server.requests()
        with server.failing("BatchWriteItem", 200, json.dumps({"UnprocessedItems": {table: [left_out]}}), times=2):
            await opened.leave("red", member.connection_id)
        assert server.requests() == ["BatchWriteItem"] * 3
        assert [page async for page in opened.pages("red")] == [[]]

    async def test_writes_are_left_out_for_long(self, server: DynamoDBServer, table: str, opened: Store) -> None:
        left_out = {"DeleteRequest": {"Key": {"pk": {"S": "members#red"}, "sk": {"S": "ann"}}}}
        with (
            server.failing("BatchWriteItem", 200, json.dumps({"UnprocessedItems": {table: [left_out]}})),
            pytest.raises(BackendError, match=f"throttling the table {table}: 1 writes were not done"),
        ):
            await opened.leave("red", "ann")
        assert server.requests() == ["BatchWriteItem"] * 5

    async def test_messages_that_no_item_can_hold_are_refused(self, server: DynamoDBServer, opened: Store) -> None:
        await opened.hold("ann", [b"x" * 100_000] * 4, 4_000_000_000)
        assert await opened.claim("ann", "owner", LATER) == Pending("owner", [b"x" * 100_000] * 4)
        server.requests()
        with pytest.raises(BackendError, match=r"409,600 bytes in an item, and the messages .* have 500,020"):
            await opened.hold("ann", [b"x" * 100_000] * 5, 4_000_000_000)
        assert server.requests() == []
