"""The template of `mangum package`, as CloudFormation, SAM and cfn-lint see it."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from mangum.cli.deployment.config import Domain, ProjectConfig
from mangum.cli.deployment.template import template, template_text

ROOT = Path(__file__).parent.parent
CODE = {"Bucket": "a-bucket", "Key": "hello/code.zip"}
COMBINATIONS = [
    {"api": api, "websockets": websockets, "architecture": architecture, "streaming": streaming}
    for api, websockets, architecture, streaming in itertools.product(
        ("http", "rest", "url", "none"), (False, True), ("x86_64", "arm64"), (False, True)
    )
    if not (streaming and api in ("http", "none")) and (api != "none" or websockets)
]


def config(**settings: Any) -> ProjectConfig:
    return ProjectConfig(
        folder=Path("/project"), name="hello", bucket_name="a-bucket", region_name="eu-west-1", **settings
    )


def transformed(document: dict[str, Any]) -> dict[str, Any]:
    """What CloudFormation's transform makes of it."""
    translator = Translator(None, Parser())
    result: dict[str, Any] = translator.translate(json.loads(json.dumps(document)), {}, None)
    return result


def of_type(document: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item["Properties"] for item in document["Resources"].values() if item["Type"] == kind]


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The translator asks for one."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.mark.parametrize("settings", COMBINATIONS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_it_is_what_everybody_takes(settings: dict[str, Any]) -> None:
    text = template_text(config(**settings), CODE)
    assert [str(match) for match in lint(text, config=ManualArgs(regions=["eu-west-1"]))] == []
    document = transformed(yaml.safe_load(text))
    (function,) = of_type(document, "AWS::Lambda::Function")
    assert function["Architectures"] == [settings["architecture"]]
    assert function["Code"] == {"S3Bucket": "a-bucket", "S3Key": "hello/code.zip"}


def test_the_template_of_the_runtimes_documentation() -> None:
    page = (ROOT / "docs/runtime.md").read_text()
    text = page.partition("```yaml\n")[2].partition("```")[0]
    assert [str(match) for match in lint(text, config=ManualArgs(regions=["eu-west-1"]))] == []
    variables = yaml.safe_load(text.replace("!GetAtt ", ""))["Resources"]["Function"]["Properties"]["Environment"]
    wrapper = Path(variables["Variables"]["AWS_LAMBDA_EXEC_WRAPPER"]).relative_to("/var/task")
    assert os.access(ROOT / wrapper, os.X_OK)


def function_of(**settings: Any) -> dict[str, Any]:
    properties: dict[str, Any] = template(config(**settings), CODE)["Resources"]["Function"]["Properties"]
    return properties


def allowed(**settings: Any) -> dict[str, str]:
    """What the function may do, and on what."""
    (policy,) = function_of(**settings)["Policies"]
    return {
        action: json.dumps(statement["Resource"]) for statement in policy["Statement"] for action in statement["Action"]
    }


def test_what_the_function_is_told() -> None:
    told = function_of(
        websockets=True, lifespan_scope="process", environment={"COLOUR": "blue"}, streaming=True, api="url"
    )
    assert told["Environment"]["Variables"] == {
        "MANGUM_LIFESPAN_SCOPE": "process",
        "MANGUM_DSN": {"Fn::Sub": "dynamodb://${Connections}"},
        "AWS_LAMBDA_EXEC_WRAPPER": "/var/task/mangum/runtime/wrapper",
        "MANGUM_RESPONSE_MODE": "stream",
        "COLOUR": "blue",
    }
    assert told["FunctionUrlConfig"]["InvokeMode"] == "RESPONSE_STREAM"
    assert function_of(api="url")["FunctionUrlConfig"]["InvokeMode"] == "BUFFERED"


def test_a_store_of_ones_own() -> None:
    document = template(config(websockets=True, dsn="redis://cache/0"), CODE)
    assert "Connections" not in document["Resources"]
    assert (
        function_of(websockets=True, dsn="redis://cache/0")["Environment"]["Variables"]["MANGUM_DSN"]
        == "redis://cache/0"
    )
    assert set(allowed(websockets=True, dsn="redis://cache/0")) == {"execute-api:ManageConnections"}


def test_no_right_that_is_not_needed() -> None:
    assert "Policies" not in function_of()
    rights = allowed(websockets=True)
    assert "WebSocketApi}/prod/*/@connections/*" in rights["execute-api:ManageConnections"]
    assert rights["dynamodb:Query"] == '[{"Fn::GetAtt": ["Connections", "Arn"]}]'
    assert "dynamodb:CreateTable" not in rights
    rights = allowed(s3_access=("a-bucket",), dynamodb_access=("a-table",))
    assert rights["s3:PutObject"] == '[{"Fn::Sub": "arn:${AWS::Partition}:s3:::a-bucket/*"}]'
    assert "table/a-table" in rights["dynamodb:UpdateItem"]
    assert not [action for action in rights if action.endswith("*")]


def test_a_custom_domain() -> None:
    domain = Domain(name="api.example.com", certificate="arn:aws:acm:eu-west-1:123456789012:certificate/a")
    for api, kind in (("http", "AWS::ApiGatewayV2::DomainName"), ("rest", "AWS::ApiGateway::DomainName")):
        document = template(config(api=api, domain=domain), CODE)
        assert document["Outputs"]["Url"]["Value"] == "https://api.example.com/"
        assert any(item["Type"] == kind for item in transformed(document)["Resources"].values())


def test_a_streaming_rest_api() -> None:
    document = template(config(api="rest", streaming=True), CODE)
    paths = document["Resources"]["RestApi"]["Properties"]["DefinitionBody"]["paths"]
    integration = paths["/{proxy+}"]["x-amazon-apigateway-any-method"]["x-amazon-apigateway-integration"]
    assert integration["responseTransferMode"] == "STREAM"
    assert integration["uri"]["Fn::Sub"].endswith("/response-streaming-invocations")
