"""What kind of event is it? The one place that decides, by fields that only one source has."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

__all__ = ["Source", "source_of"]


class Source(enum.Enum):
    """Where an event comes from; the value is its name in messages."""

    REST_API = "an API Gateway REST API request"
    HTTP_API_V1 = "an API Gateway HTTP API request (payload 1.0)"
    HTTP_API_V2 = "an API Gateway HTTP API request (payload 2.0)"
    FUNCTION_URL = "a Lambda Function URL request"
    ALB = "an Application Load Balancer request"
    LAMBDA_AT_EDGE = "a Lambda@Edge request"
    VPC_LATTICE_V1 = "a VPC Lattice request (version 1.0)"
    VPC_LATTICE_V2 = "a VPC Lattice request (version 2.0)"

    LAMBDA_AT_EDGE_RESPONSE = "a Lambda@Edge response event"
    AUTHORIZER = "an API Gateway Lambda authorizer event"
    WEBSOCKET = "an API Gateway WebSocket API event"

    SQS = "an SQS event"
    SNS = "an SNS event"
    S3 = "an S3 event"
    KINESIS = "a Kinesis event"
    DYNAMODB = "a DynamoDB stream event"
    SES = "an SES event"
    CODECOMMIT = "a CodeCommit event"
    KAFKA = "a Kafka event"
    RABBITMQ = "a RabbitMQ event"
    ACTIVEMQ = "an ActiveMQ event"
    EVENTBRIDGE = "an EventBridge event"
    CLOUDWATCH_LOGS = "a CloudWatch Logs event"
    COGNITO = "a Cognito trigger event"
    APPSYNC = "an AppSync resolver event"
    CUSTOM_RESOURCE = "a CloudFormation custom resource event"
    DESTINATION = "a Lambda destination record"
    UNKNOWN = "an event of no kind known here"

    @property
    def is_posted(self) -> bool:
        """Whether it can be handed to the application by `event_path`: authorizers decide over requests and WebSocket
        events belong to a connection, so neither may end in a route that was written for queues."""
        return self not in _HTTP_SOURCES and self not in (Source.AUTHORIZER, Source.WEBSOCKET)


# Members are singletons. The hash of Enum is a call into Python.
Source.__hash__ = object.__hash__  # type: ignore[method-assign]

# Those of requests, as names of their own: in Python 3.11 it takes 0.15 µs to look a member up in its class.
_REST_API = Source.REST_API
_HTTP_API_V1 = Source.HTTP_API_V1
_HTTP_API_V2 = Source.HTTP_API_V2
_FUNCTION_URL = Source.FUNCTION_URL
_ALB = Source.ALB
_LAMBDA_AT_EDGE = Source.LAMBDA_AT_EDGE
_VPC_LATTICE_V1 = Source.VPC_LATTICE_V1
_VPC_LATTICE_V2 = Source.VPC_LATTICE_V2

_HTTP_SOURCES = frozenset(
    {
        _REST_API,
        _HTTP_API_V1,
        _HTTP_API_V2,
        _FUNCTION_URL,
        _ALB,
        _LAMBDA_AT_EDGE,
        _VPC_LATTICE_V1,
        _VPC_LATTICE_V2,
    }
)

_WEBSOCKET_EVENT_TYPES = ("CONNECT", "MESSAGE", "DISCONNECT")

_EVENT_SOURCES = {
    "aws:sqs": Source.SQS,
    "aws:sns": Source.SNS,
    "aws:s3": Source.S3,
    "aws:kinesis": Source.KINESIS,
    "aws:dynamodb": Source.DYNAMODB,
    "aws:ses": Source.SES,
    "aws:codecommit": Source.CODECOMMIT,
    "aws:kafka": Source.KAFKA,
    "SelfManagedKafka": Source.KAFKA,
    "aws:rmq": Source.RABBITMQ,
    "aws:mq": Source.ACTIVEMQ,
}


def source_of(event: object) -> Source:
    """The source of an event. Never raises, whatever the event is.

    An event that has the sure sign of an HTTP source belongs to it even where other fields are missing or damaged:
    its handler then names what is wrong.
    """
    if not isinstance(event, dict):
        if not isinstance(event, Mapping):  # a wrapper's view of the event, such as those of Powertools
            return Source.UNKNOWN
        event = dict(event)
    if "type" in event and event["type"] in ("TOKEN", "REQUEST") and ("methodArn" in event or "routeArn" in event):
        return Source.AUTHORIZER
    version = event.get("version")
    context = event.get("requestContext")
    if isinstance(context, dict):
        if "connectionId" in context and context.get("eventType") in _WEBSOCKET_EVENT_TYPES:
            return Source.WEBSOCKET
        if "elb" in context:
            return _ALB
        if version == "2.0":
            if "http" in context:
                return _FUNCTION_URL if _is_function_url(context.get("domainName")) else _HTTP_API_V2
            if "serviceArn" in context or "serviceNetworkArn" in context:
                return _VPC_LATTICE_V2
    if "httpMethod" in event:
        if version == "1.0":
            return _HTTP_API_V1
        if version is None and "resource" in event:
            return _REST_API
    if version == "2.0" and "rawPath" in event:
        return _HTTP_API_V2
    if "raw_path" in event and "method" in event and context is None:
        return _VPC_LATTICE_V1
    return _other_source_of(event)


def _is_function_url(domain: object) -> bool:
    return isinstance(domain, str) and ".lambda-url." in domain and domain.endswith(".on.aws")


def _other_source_of(event: dict[str, Any]) -> Source:
    records = event.get("Records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        record = records[0]
        if "cf" in record:
            cf = record["cf"]
            return Source.LAMBDA_AT_EDGE_RESPONSE if isinstance(cf, dict) and "response" in cf else _LAMBDA_AT_EDGE
        return _named_source(record.get("eventSource", record.get("EventSource")))
    if "eventSource" in event:
        return _named_source(event["eventSource"])
    if "detail-type" in event and "source" in event:
        return Source.EVENTBRIDGE
    if "awslogs" in event:
        return Source.CLOUDWATCH_LOGS
    if "triggerSource" in event and "userPoolId" in event:
        return Source.COGNITO
    if "RequestType" in event and "ResponseURL" in event:
        return Source.CUSTOM_RESOURCE
    if "arguments" in event and ("info" in event or "fieldName" in event):
        return Source.APPSYNC
    context = event.get("requestContext")
    if isinstance(context, dict) and "functionArn" in context:
        return Source.DESTINATION
    return Source.UNKNOWN


def _named_source(name: object) -> Source:
    return _EVENT_SOURCES.get(name, Source.UNKNOWN) if isinstance(name, str) else Source.UNKNOWN
