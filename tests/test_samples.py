"""AWS's own samples: each is claimed by exactly one handler and answered, or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mangum import Mangum
from mangum.config import Config
from mangum.exceptions import UnsupportedEvent
from mangum.handlers import handler_class
from mangum.handlers.sources import Source
from tests.apps import Recorder, hello
from tests.conftest import samples

NAMES = {
    "appSyncResolverEvent": "AppSync",
    "cloudWatchLogEvent": "CloudWatch Logs",
    "cognitoPreSignUpEvent": "Cognito",
    "dynamoStreamEvent": "DynamoDB",
    "eventBridgeEvent": "EventBridge",
    "kafkaEventMsk": "Kafka",
    "kinesisStreamEvent": "Kinesis",
    "s3Event": "S3",
    "snsEvent": "SNS",
    "snsSqsEvent": "SQS",
    "sqsEvent": "SQS",
}


def claims(event: Any) -> list[type]:
    handlers = {handler_class(source) for source in Source} - {None}
    return [handler for handler in handlers if handler is not None and handler.infer(event, None, Config())]


@pytest.mark.parametrize("event", samples("http"))
def test_a_request_has_one_handler_and_is_answered(event: dict[str, Any]) -> None:
    app = Recorder(body=b"Hello!")
    assert len(claims(event)) == 1
    with Mangum(app) as handler:
        answer = handler(event, None)
    assert answer["statusCode"] == 200
    assert answer["body"] == "Hello!"
    assert answer["isBase64Encoded"] is False
    sent_path = event.get("rawPath") or event.get("path") or event["raw_path"]
    assert app.scope["path"] == sent_path
    method = event.get("httpMethod") or event.get("method") or event["requestContext"]["http"]["method"]
    assert app.scope["method"] == method
    assert app.scope["aws.event"] is event


@pytest.mark.parametrize("event", samples("other"))
def test_another_event_is_refused_by_name(event: dict[str, Any], request: pytest.FixtureRequest) -> None:
    name = NAMES[request.node.callspec.id]
    assert claims(event) == []
    with Mangum(hello) as handler, pytest.raises(UnsupportedEvent, match=f"{name}.*event_path"):
        handler(event, None)


@pytest.mark.parametrize("event", samples("other"))
def test_another_event_is_delivered_with_an_event_path(event: dict[str, Any]) -> None:
    app = Recorder(headers=[[b"content-type", b"application/json"]], body=b'{"seen": true}')
    with Mangum(app, event_path="/events") as handler:
        assert handler(event, None) == {"seen": True}
    assert (app.scope["method"], app.scope["path"], app.scope["raw_path"]) == ("POST", "/events", b"/events")
    assert json.loads(app.body) == event
    assert [b"content-length", str(len(app.body)).encode()] in app.scope["headers"]


def test_samples_say_that_plain_text_is_base64() -> None:
    """The flag of some samples is wrong; the text is delivered as it is."""
    event = next(param.values[0] for param in samples("http") if param.id == "apiGatewayProxyEventAnotherPath")
    assert isinstance(event, dict)
    app = Recorder()
    with Mangum(app) as handler:
        handler(event, None)
    assert app.body == b"Hello from Lambda!"
