"""A stack of CloudFormation: changed by change sets, watched while it changes, and deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from mangum.cli.deployment.aws import AWS, code_of, message_of
from mangum.cli.deployment.errors import CommandError

__all__ = ["Change", "ChangeSet", "Event", "Stack"]

_POLL_S = 1.0
_PREPARE_S = 300.0
_CHANGE_S = 3600.0
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
_NEW = "REVIEW_IN_PROGRESS"  # there is a change set, and nothing else yet
_DONE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
_DELETED = "DELETE_COMPLETE"
_NOTHING = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What will happen to a resource."""

    action: str  # "Add", "Modify", "Remove"
    name: str
    kind: str
    replaced: bool


@dataclass(frozen=True, kw_only=True)
class ChangeSet:
    """Changes that are ready to be made."""

    name: str
    is_new: bool
    changes: list[Change]


@dataclass(frozen=True, kw_only=True)
class Event:
    """What has happened to a resource."""

    name: str
    kind: str
    status: str
    reason: str

    @property
    def has_failed(self) -> bool:
        """Whether it is the cause of something, and not cancelled because of another."""
        return self.status.endswith("_FAILED") and "cancelled" not in self.reason.lower()


class Stack:
    """A stack by its name."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name

    @classmethod
    @asynccontextmanager
    async def of(cls, aws: AWS, name: str) -> AsyncIterator[Stack]:
        """A stack, and a client for it."""
        async with aws.client("cloudformation") as client:
            yield cls(client, name)

    async def describe(self) -> dict[str, Any] | None:
        """What CloudFormation says of it; `None` if it is not there."""
        try:
            answer = await self._client.describe_stacks(StackName=self.name)
        except ClientError as error:
            if code_of(error) == "ValidationError" and "does not exist" in message_of(error):
                return None
            raise
        stacks: list[dict[str, Any]] = answer["Stacks"]
        return stacks[0] if stacks and stacks[0]["StackStatus"] != _DELETED else None

    async def outputs(self) -> dict[str, str]:
        """Its outputs.

        Raises:
            CommandError: there is no such stack.
        """
        found = await self.describe()
        if found is None or found["StackStatus"] == _NEW:
            raise CommandError(f"There is no stack {self.name} here: `mangum deploy` makes it.")
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    async def prepare(self, template: dict[str, str]) -> ChangeSet | None:
        """A change set of a template, which is its body or its URL; `None` if there is nothing to change.

        Raises:
            CommandError: the stack is in no state to be changed, or CloudFormation does not take the template.
        """
        found = await self.describe()
        status = _NEW if found is None else found["StackStatus"]
        is_new = status == _NEW
        if status == "ROLLBACK_COMPLETE" or (not is_new and status.endswith("_FAILED")):
            raise CommandError(
                f"The stack {self.name} is in {status}, from which it cannot be changed: `mangum delete` removes it, "
                "and then it can be deployed anew."
            )
        if not is_new and status.endswith("_IN_PROGRESS"):
            raise CommandError(f"The stack {self.name} is being changed by somebody else ({status}): try again later.")
        name = f"mangum-{time.strftime('%Y%m%d-%H%M%S')}"
        await self._client.create_change_set(
            StackName=self.name,
            ChangeSetName=name,
            ChangeSetType="CREATE" if is_new else "UPDATE",
            Capabilities=_CAPABILITIES,
            Tags=[{"Key": "mangum:project", "Value": self.name}],
            **template,
        )
        return await self._wait_prepared(name, is_new)

    async def _wait_prepared(self, name: str, is_new: bool) -> ChangeSet | None:
        async with _limit(_PREPARE_S, f"The change set {name} was not ready after {_PREPARE_S / 60:.0f} minutes."):
            while True:
                found = await self._client.describe_change_set(StackName=self.name, ChangeSetName=name)
                if found["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
                    break
                await asyncio.sleep(_POLL_S)
        if found["Status"] == "FAILED":
            await self._client.delete_change_set(StackName=self.name, ChangeSetName=name)
            reason = found.get("StatusReason", "")
            if any(text in reason for text in _NOTHING):
                return None
            raise CommandError(f"CloudFormation does not take the template: {reason}")
        return ChangeSet(name=name, is_new=is_new, changes=[_change(each) for each in found.get("Changes", [])])

    async def discard(self, changes: ChangeSet) -> None:
        """Do not make these changes."""
        if changes.is_new:  # or a stack without anything would be left
            await self._client.delete_stack(StackName=self.name)
        else:
            await self._client.delete_change_set(StackName=self.name, ChangeSetName=changes.name)

    async def execute(self, changes: ChangeSet, tell: Callable[[Event], None]) -> None:
        """Make the changes. `tell` is called with each event, as it comes.

        Raises:
            CommandError: they failed, and were rolled back.
        """
        seen = await self._seen()
        await self._client.execute_change_set(StackName=self.name, ChangeSetName=changes.name)
        status = await self._watch(self.name, seen, tell)
        if status not in _DONE:
            raise CommandError(f"The stack {self.name} ended in {status}.{self._cause()}")

    async def delete(self, tell: Callable[[Event], None]) -> bool:
        """Delete it, and all that it has made. Returns whether it was there.

        Raises:
            CommandError: something of it cannot be deleted.
        """
        found = await self.describe()
        if found is None:
            return False
        seen = await self._seen()
        await self._client.delete_stack(StackName=self.name)
        status = await self._watch(found["StackId"], seen, tell)  # by its name it is not found any more
        if status != _DELETED:
            raise CommandError(f"The stack {self.name} ended in {status}.{self._cause()}")
        return True

    async def _seen(self) -> set[str]:
        """The events of earlier changes."""
        self._failed: Event | None = None
        return {event["EventId"] for event in await self._events(self.name)}

    async def _watch(self, name: str, seen: set[str], tell: Callable[[Event], None]) -> str:
        """Tell of what comes, and return the status that the stack ends in. Its own events say so: its description may
        still be the one from before."""
        async with _limit(_CHANGE_S, f"The stack {self.name} had not come to an end after an hour."):
            while True:
                for item in reversed(await self._events(name)):
                    if item["EventId"] not in seen:
                        seen.add(item["EventId"])
                        event = _event(item)
                        self._note(event, tell)
                        if item["PhysicalResourceId"] == item["StackId"] and not event.status.endswith("_IN_PROGRESS"):
                            return event.status
                await asyncio.sleep(_POLL_S)

    def _note(self, event: Event, tell: Callable[[Event], None]) -> None:
        if event.has_failed and self._failed is None:
            self._failed = event
        tell(event)

    def _cause(self) -> str:
        failed = self._failed
        return "" if failed is None else f" The first to fail was {failed.name} ({failed.kind}): {failed.reason}"

    async def _events(self, name: str) -> list[dict[str, Any]]:
        """Its events, the newest first: those of the last changes are on the first page."""
        answer = await self._client.describe_stack_events(StackName=name)
        events: list[dict[str, Any]] = answer["StackEvents"]
        return events


@asynccontextmanager
async def _limit(seconds: float, text: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise CommandError(text) from None


def _change(item: dict[str, Any]) -> Change:
    change = item["ResourceChange"]
    return Change(
        action=change["Action"],
        name=change["LogicalResourceId"],
        kind=change["ResourceType"],
        replaced=change.get("Replacement") == "True",
    )


def _event(item: dict[str, Any]) -> Event:
    return Event(
        name=item["LogicalResourceId"],
        kind=item["ResourceType"],
        status=item["ResourceStatus"],
        reason=item.get("ResourceStatusReason", ""),
    )
