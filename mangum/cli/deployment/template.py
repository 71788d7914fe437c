"""The stack: a template of the AWS Serverless Application Model, which CloudFormation and `sam` take.

https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification.html
"""

from __future__ import annotations

from typing import Any

import yaml

from mangum.cli.deployment.build import WRAPPER
from mangum.cli.deployment.config import ProjectConfig

__all__ = ["STAGE", "Resources", "template", "template_text"]

STAGE = "prod"  # of REST and WebSocket APIs
_FUNCTION = "Function"
_INVOCATIONS = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/%s/functions/${Function.Arn}/%s"
# https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
_BUFFERED = _INVOCATIONS % ("2015-03-31", "invocations")
_STREAMED = _INVOCATIONS % ("2021-11-15", "response-streaming-invocations")

# What the store needs of its table, and an application of its own: docs/websockets.md has the former.
_STORE_ACTIONS = [
    f"dynamodb:{action}"
    for action in ("GetItem", "PutItem", "DeleteItem", "Query", "BatchWriteItem", "DescribeTable", "DescribeTimeToLive")
]
_TABLE_ACTIONS = [
    f"dynamodb:{action}"
    for action in (
        *("GetItem", "BatchGetItem", "Query", "Scan", "DescribeTable"),
        *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"),
    )
]

Resources = dict[str, Any]


def template_text(config: ProjectConfig, code: str | dict[str, str]) -> str:
    """The template as YAML."""
    head = "# Written by `mangum package`: changes are lost with the next one.\n"
    return head + yaml.safe_dump(template(config, code), sort_keys=False, allow_unicode=True, width=100)


def template(config: ProjectConfig, code: str | dict[str, str]) -> dict[str, Any]:
    """The template. `code` is a folder of this machine, or a bucket and a key."""
    resources: Resources = {_FUNCTION: _function(config, code), "FunctionLogs": _logs(config)}
    outputs: dict[str, Any] = {"FunctionName": {"Value": _ref(_FUNCTION)}, "LogGroup": {"Value": _ref("FunctionLogs")}}
    if config.api == "http":
        resources["HttpApi"] = _http_api(config)
        outputs["Url"] = _url(config, "https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/")
    elif config.api == "rest":
        resources |= _rest_api(config)
        outputs["Url"] = _url(config, f"https://${{RestApi}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}/{STAGE}/")
    elif config.api == "url":
        outputs["Url"] = {"Value": _get(f"{_FUNCTION}Url", "FunctionUrl")}
    if config.websockets:
        resources |= _websocket_api()
        domain = "${WebSocketApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
        outputs["WebSocketUrl"] = {"Value": _sub(f"wss://{domain}/{STAGE}")}
        if config.dsn is None:
            resources["Connections"] = _connections_table()
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": f"{config.name}, an ASGI application on AWS Lambda",
        "Resources": resources,
        "Outputs": outputs,
    }


def _function(config: ProjectConfig, code: str | dict[str, str]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "CodeUri": code,
        "Handler": config.handler,
        "Runtime": config.runtime,
        "Architectures": [config.architecture],
        "MemorySize": config.memory,
        "Timeout": config.timeout,
        "LoggingConfig": {"LogGroup": _ref("FunctionLogs")},
        "Environment": {"Variables": _variables(config)},
    }
    policies = _policies(config)
    if policies:
        properties["Policies"] = [{"Version": "2012-10-17", "Statement": policies}]
    if config.api == "http":
        properties["Events"] = {"Http": {"Type": "HttpApi", "Properties": {"ApiId": _ref("HttpApi")}}}
    elif config.api == "rest" and not config.streaming:
        api = {"RestApiId": _ref("RestApi"), "Method": "ANY"}
        properties["Events"] = {
            "Root": {"Type": "Api", "Properties": {**api, "Path": "/"}},
            "All": {"Type": "Api", "Properties": {**api, "Path": "/{proxy+}"}},
        }
    elif config.api == "url":
        properties["FunctionUrlConfig"] = {
            "AuthType": "NONE",
            "InvokeMode": "RESPONSE_STREAM" if config.streaming else "BUFFERED",
        }
    return {"Type": "AWS::Serverless::Function", "Properties": properties}


def _variables(config: ProjectConfig) -> dict[str, Any]:
    variables: dict[str, Any] = {"MANGUM_LIFESPAN_SCOPE": config.lifespan_scope}
    if config.websockets:
        variables["MANGUM_DSN"] = _sub("dynamodb://${Connections}") if config.dsn is None else config.dsn
    if config.streaming:
        variables |= {"AWS_LAMBDA_EXEC_WRAPPER": f"/var/task/{WRAPPER}", "MANGUM_RESPONSE_MODE": "stream"}
    return variables | dict(config.environment)


def _policies(config: ProjectConfig) -> list[dict[str, Any]]:
    """What the function may do, beside its log."""
    statements = []
    if config.websockets:
        api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebSocketApi}"
        statements.append(_allow(["execute-api:ManageConnections"], [_sub(f"{api}/{STAGE}/*/@connections/*")]))
        if config.dsn is None:
            actions = (
                "GetItem",
                "PutItem",
                "DeleteItem",
                "Query",
                "BatchWriteItem",
                "DescribeTable",
                "DescribeTimeToLive",
            )
            statements.append(_allow([f"dynamodb:{action}" for action in actions], [_get("Connections", "Arn")]))
    if config.s3_access:
        buckets = [_sub(f"arn:${{AWS::Partition}}:s3:::{name}") for name in config.s3_access]
        objects = [_sub(f"arn:${{AWS::Partition}}:s3:::{name}/*") for name in config.s3_access]
        statements.append(_allow(["s3:ListBucket"], buckets))
        statements.append(_allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], objects))
    if config.dynamodb_access:
        table = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table"
        tables = [_sub(f"{table}/{name}{part}") for name in config.dynamodb_access for part in ("", "/index/*")]
        statements.append(_allow(_TABLE_ACTIONS, tables))
    return statements


def _logs(config: ProjectConfig) -> dict[str, Any]:
    return {
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {"LogGroupName": _sub("/aws/lambda/${AWS::StackName}"), "RetentionInDays": config.log_retention},
    }


def _http_api(config: ProjectConfig) -> dict[str, Any]:
    return {"Type": "AWS::Serverless::HttpApi", "Properties": _domain(config)}


def _rest_api(config: ProjectConfig) -> Resources:
    properties: dict[str, Any] = {
        "StageName": STAGE,
        "EndpointConfiguration": {"Type": "REGIONAL"},
        "BinaryMediaTypes": ["*/*"],
        **_domain(config),
    }
    resources: Resources = {"RestApi": {"Type": "AWS::Serverless::Api", "Properties": properties}}
    if config.streaming:  # of which the function's events cannot tell
        integration = {
            "type": "aws_proxy",
            "httpMethod": "POST",
            "uri": _sub(_STREAMED),
            "responseTransferMode": "STREAM",
        }
        method = {"x-amazon-apigateway-any-method": {"x-amazon-apigateway-integration": integration, "responses": {}}}
        properties["DefinitionBody"] = {
            "openapi": "3.0.1",
            "info": {"title": config.name, "version": "1"},
            "paths": {"/": method, "/{proxy+}": method},
        }
        resources["RestApiPermission"] = _permission("RestApi", "/*/*")
    return resources


def _websocket_api() -> Resources:
    api = _ref("WebSocketApi")
    resources: Resources = {
        "WebSocketApi": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {
                "Name": _sub("${AWS::StackName}-websockets"),
                "ProtocolType": "WEBSOCKET",
                "RouteSelectionExpression": "$request.body.action",
            },
        },
        "WebSocketIntegration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {"ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationUri": _sub(_BUFFERED)},
        },
        "WebSocketStage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "DependsOn": ["WebSocketConnect", "WebSocketDefault", "WebSocketDisconnect"],
            "Properties": {"ApiId": api, "StageName": STAGE, "AutoDeploy": True},
        },
        "WebSocketPermission": _permission("WebSocketApi", "/*"),
    }
    for name in ("Connect", "Default", "Disconnect"):
        resources[f"WebSocket{name}"] = {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": api,
                "RouteKey": f"${name.lower()}",
                "Target": _sub("integrations/${WebSocketIntegration}"),
            },
        }
    return resources


def _connections_table() -> dict[str, Any]:
    """As `mangum.backends.dynamodb` wants it."""
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Delete",  # of connections, which are gone with the API
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
        },
    }


def _permission(api: str, paths: str) -> dict[str, Any]:
    source = f"arn:${{AWS::Partition}}:execute-api:${{AWS::Region}}:${{AWS::AccountId}}:${{{api}}}{paths}"
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": _ref(_FUNCTION),
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": _sub(source),
        },
    }


def _domain(config: ProjectConfig) -> dict[str, Any]:
    if config.domain is None:
        return {}
    return {
        "Domain": {
            "DomainName": config.domain.name,
            "CertificateArn": config.domain.certificate,
            "EndpointConfiguration": "REGIONAL",
        }
    }


def _url(config: ProjectConfig, default: str) -> dict[str, Any]:
    return {"Value": _sub(default) if config.domain is None else f"https://{config.domain.name}/"}


def _allow(actions: list[str], resources: list[Any]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def _ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def _get(name: str, attribute: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, attribute]}


def _sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}
