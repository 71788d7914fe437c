"""Connections in one DynamoDB table: `dynamodb://table?region=eu-central-1`.

| `pk` (partition key) | `sk` (sort key) | further attributes |
|---|---|---|
| `connection#{id}` | `record` | `value` (binary), `expires_at` |
| `connection#{id}` | `pending` | `messages` (list of binary), `expires_at`; `claimed_by`, `claimed_until` |
| `members#{group}` | `{id}` | `value` (binary), `expires_at` |
| `groups#{id}` | `{group}` | `expires_at` |

Names stand in the keys as they are: a partition key has room for a prefix (2,048 bytes), and where a sort key is a
name, it is nothing else (1,024 bytes). A membership is two items, so that a group's members and a connection's groups
are one query each, without an index. DynamoDB removes expired items itself, within some days.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias

from botocore.exceptions import ClientError

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

__all__ = ["DynamoDB", "Item"]

logger: logging.Logger = logging.getLogger("mangum.backends")

Item: TypeAlias = dict[str, Any]  # attributes as DynamoDB has them: {"pk": {"S": "..."}}

_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_SCHEMA = {
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
    ],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "BillingMode": "PAY_PER_REQUEST",
}
_DEFINITION = (
    "a partition key `pk` and a sort key `sk`, both strings, time to live on the attribute `expires_at`, "
    "and on-demand billing (PAY_PER_REQUEST)"
)

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
_LARGEST_ITEM = 400 * 1024
_OVERHEAD = 4 * 1024  # of keys, names of attributes and, per message, a few bytes
_MOST_WRITES = 25  # in one BatchWriteItem

# A new table takes DynamoDB some seconds. `Store` gives `open` five.
_CREATION_S = 4.0
_CREATION_POLL_S = 0.2


class DynamoDB(Backend):
    """Connections in one DynamoDB table."""

    unavailable = UNAVAILABLE

    def __init__(self, dsn: DSN) -> None:
        if not _TABLE_NAME.fullmatch(dsn.location) or dsn.path:
            raise ConfigurationError(
                f"The DSN {dsn} names no table: it must look like dynamodb://table?region=eu-central-1, with a name of "
                "3 to 255 letters, digits, and characters among _ - and ."
            )
        self._table = dsn.location
        self._aws = AWSClient("dynamodb", dsn)

    async def open(self) -> None:
        await self._aws.open()
        await self._prepare()

    async def close(self) -> None:
        await self._aws.close()

    async def abort(self) -> None:
        await self._aws.close()

    # The table

    async def _prepare(self) -> None:
        is_there, expires = await gather(self._is_there(), self._expires())
        if not is_there:
            await self._create()
        if not is_there or not expires:
            await self._expire()

    async def _is_there(self) -> bool:
        """Whether the table can be read. What asks needs no right but one that is needed anyway, and brings up the
        connection that the first call will use."""
        try:
            await self._get("connection#", "record")
        except Missing:
            return False
        except ClientError as error:
            if error_code(error) != "ValidationException":
                raise
            raise ConfigurationError(
                f"The table {self._table} has another form than is needed ({error_message(error)}): name another one, "
                f"which is then created, or create one with {_DEFINITION}."
            ) from error
        return True

    async def _expires(self) -> bool:
        """Whether DynamoDB removes expired items; also if that is not to be found out."""
        try:
            answer = await self._aws.attempt("describe_time_to_live", TableName=self._table)
        except (Missing, ClientError):
            return True
        found = answer["TimeToLiveDescription"]
        return found["TimeToLiveStatus"] in ("ENABLED", "ENABLING") and found.get("AttributeName") == "expires_at"

    async def _create(self) -> None:
        try:
            await self._aws.request("create_table", TableName=self._table, **_SCHEMA)
        except ClientError as error:
            if is_denied(error):
                raise ConfigurationError(
                    f"The table {self._table} is missing in {self._aws.region}, and the rights do not allow to create "
                    f"it ({error_message(error)}). Create it with {_DEFINITION}."
                ) from error
            if error_code(error) != "ResourceInUseException":  # somebody else is creating it
                raise
        try:
            async with asyncio.timeout(_CREATION_S):
                while not await self._is_there():  # noqa: ASYNC110 - it is DynamoDB that is waited for
                    await asyncio.sleep(_CREATION_POLL_S)
        except TimeoutError:
            raise BackendError(
                f"The table {self._table} is being created, which takes DynamoDB some seconds: try again."
            ) from None

    async def _expire(self) -> None:
        """Let DynamoDB remove expired items. Without it all works, and the table grows."""
        setting = {"AttributeName": "expires_at", "Enabled": True}
        try:
            await self._aws.request("update_time_to_live", TableName=self._table, TimeToLiveSpecification=setting)
        except ClientError as error:
            if "already enabled" not in error_message(error):  # by somebody else, a moment ago
                logger.warning(
                    "Expired connections will stay in the table %s until its time to live is enabled on the attribute "
                    "`expires_at` (%s).",
                    self._table,
                    error_message(error),
                )

    # What belongs to a connection

    async def save(self, record: Entry) -> None:
        await self._put(_item(f"connection#{record.connection_id}", "record", record.expires_at, record.value))

    async def update(self, record: Entry) -> None:
        item = _item(f"connection#{record.connection_id}", "record", record.expires_at, record.value)
        await self._replace(item, "attribute_exists(pk)")

    async def load(self, connection_id: str) -> Entry | None:
        item = await self._get(f"connection#{connection_id}", "record")
        return None if item is None else _entry(connection_id, item)

    async def delete(self, connection_id: str) -> None:
        own = [_deletion(f"connection#{connection_id}", kind) for kind in ("record", "pending")]
        await self._write([*await self._memberships(connection_id), *own])

    async def hold(self, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
        size = sum(len(message) + 4 for message in messages)
        if size > _LARGEST_ITEM - _OVERHEAD:
            raise BackendError(
                f"DynamoDB keeps {_LARGEST_ITEM:,} bytes in an item, and the messages that wait until the connection "
                f"is open have {size:,}: send less before the client has spoken."
            )
        item = _item(f"connection#{connection_id}", "pending", expires_at)
        await self._put({**item, **_messages(messages)})

    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        # The item is written again as a whole. UpdateItem would be less, and another right that a role has to have.
        while True:
            item = await self._get(f"connection#{connection_id}", "pending")
            if item is None or not item["messages"]["L"]:
                return None
            pending = Pending(item.get("claimed_by", {"S": ""})["S"], [part["B"] for part in item["messages"]["L"]])
            if pending.owner not in ("", owner) and float(item["claimed_until"]["N"]) > now:
                return pending
            claimed = {**item, "claimed_by": {"S": owner}, "claimed_until": {"N": f"{until:.3f}"}}
            if await self._replace(claimed, *_as_it_is(item)):
                return Pending(owner, pending.messages)

    async def release(self, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
        pk = f"connection#{connection_id}"
        is_own = ("claimed_by = :owner", {":owner": {"S": owner}})
        item = await self._get(pk, "pending") if messages else None
        if item is not None:
            kept = {**_key(pk, "pending"), "expires_at": item["expires_at"], **_messages(messages)}
            await self._replace(kept, *is_own)
        elif not messages:
            await self._conditionally("delete_item", *is_own, Key=_key(pk, "pending"))

    # Groups

    async def join(self, group: str, member: Entry) -> None:
        items = [
            _item(f"groups#{member.connection_id}", group, member.expires_at),
            _item(f"members#{group}", member.connection_id, member.expires_at, member.value),
        ]
        await self._write([{"PutRequest": {"Item": item}} for item in items])

    async def leave(self, group: str, connection_id: str) -> None:
        await self._write(_membership(group, connection_id))

    async def leave_all(self, connection_id: str) -> None:
        await self._write(await self._memberships(connection_id))

    async def groups(self, connection_id: str) -> list[str]:
        return [group async for group in self._groups(connection_id)]

    async def members(self, group: str, after: str | None, limit: int) -> Page:
        start = {} if after is None else {"ExclusiveStartKey": _key(f"members#{group}", after)}
        answer = await self._query(f"members#{group}", Limit=limit, **start)
        members = [_entry(item["sk"]["S"], item) for item in answer["Items"]]
        last = answer.get("LastEvaluatedKey")
        return Page(members, None if last is None else last["sk"]["S"])

    async def _groups(self, connection_id: str) -> AsyncIterator[str]:
        pk = f"groups#{connection_id}"
        answer: Any = {"LastEvaluatedKey": None}
        while "LastEvaluatedKey" in answer:
            last = answer["LastEvaluatedKey"]
            answer = await self._query(pk, **({} if last is None else {"ExclusiveStartKey": last}))
            for item in answer["Items"]:
                yield item["sk"]["S"]

    async def _memberships(self, connection_id: str) -> list[Item]:
        """The writes that end all memberships of a connection."""
        return [write async for group in self._groups(connection_id) for write in _membership(group, connection_id)]

    # Requests

    async def _get(self, pk: str, sk: str) -> Item | None:
        answer = await self._aws.request("get_item", TableName=self._table, Key=_key(pk, sk), ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    async def _put(self, item: Item) -> None:
        await self._aws.request("put_item", TableName=self._table, Item=item)

    async def _replace(self, item: Item, condition: str, values: Item | None = None) -> bool:
        """Put an item where the one that is there meets a condition. Returns whether it does."""
        return await self._conditionally("put_item", condition, values, Item=item)

    async def _conditionally(self, operation: str, condition: str, values: Item | None, **parameters: Any) -> bool:
        if values:
            parameters["ExpressionAttributeValues"] = values
        try:
            await self._aws.request(operation, TableName=self._table, ConditionExpression=condition, **parameters)
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    async def _query(self, pk: str, **parameters: Any) -> Any:
        return await self._aws.request(
            "query",
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
            **parameters,
        )

    async def _write(self, writes: Sequence[Item]) -> None:
        batches = [writes[start : start + _MOST_WRITES] for start in range(0, len(writes), _MOST_WRITES)]
        await gather(*map(self._write_batch, batches))

    async def _write_batch(self, writes: Sequence[Item]) -> None:
        """Up to 25 puts and deletes, which are not one transaction: that would cost twice as much, and all that it
        could prevent is a membership without its other half, until it expires."""
        for delay in (0.0, *delays()):
            await asyncio.sleep(delay)
            answer = await self._aws.request("batch_write_item", RequestItems={self._table: writes})
            writes = answer["UnprocessedItems"].get(self._table, [])
            if not writes:
                return
        raise BackendError(f"DynamoDB is throttling the table {self._table}: {len(writes)} writes were not done.")


def _key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _item(pk: str, sk: str, expires_at: int, value: bytes | None = None) -> Item:
    item = {**_key(pk, sk), "expires_at": {"N": str(expires_at)}}
    return item if value is None else {**item, "value": {"B": value}}


def _messages(messages: Sequence[bytes]) -> Item:
    return {"messages": {"L": [{"B": message} for message in messages]}}


def _as_it_is(pending: Item) -> tuple[str, Item | None]:
    """The condition that nobody has claimed an item since it was read."""
    if "claimed_by" not in pending:
        return "attribute_exists(pk) AND attribute_not_exists(claimed_by)", None
    return (
        "claimed_by = :by AND claimed_until = :until",
        {":by": pending["claimed_by"], ":until": pending["claimed_until"]},
    )


def _entry(connection_id: str, item: Item) -> Entry:
    return Entry(connection_id, item["value"]["B"], int(item["expires_at"]["N"]))


def _deletion(pk: str, sk: str) -> Item:
    return {"DeleteRequest": {"Key": _key(pk, sk)}}


def _membership(group: str, connection_id: str) -> list[Item]:
    """The writes that end a membership."""
    return [_deletion(f"members#{group}", connection_id), _deletion(f"groups#{connection_id}", group)]
