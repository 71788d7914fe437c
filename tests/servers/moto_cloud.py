"""What moto's CloudFormation lacks for a stack of this project's: the transform of AWS's serverless model, by AWS's own
translator, and resources of API Gateway v2 and Function URLs, which it makes in moto's own services."""

from __future__ import annotations

import json
from typing import Any

import boto3
import yaml
from moto.apigatewayv2.models import apigatewayv2_backends
from moto.awslambda.models import lambda_backends
from moto.cloudformation.models import ChangeSet, CloudFormationBackend
from moto.core.common_models import CloudFormationModel
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

__all__ = ["install"]


def install() -> None:
    """Add them to moto."""
    create: Any = CloudFormationBackend.create_change_set
    apply = ChangeSet.apply

    def create_transformed(self: CloudFormationBackend, template: str, **named: Any) -> Any:
        return create(self, template=_transformed(template), **named)

    def apply_with_outputs(self: ChangeSet) -> None:
        apply(self)
        self.stack.template_dict = self.template_dict
        self.stack.output_map = self.stack._create_output_map()

    CloudFormationBackend.create_change_set = create_transformed  # type: ignore[assignment]
    ChangeSet.apply = apply_with_outputs  # type: ignore[method-assign]


def _transformed(template: str) -> str:
    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name="eu-west-1"))
    return json.dumps(translator.translate(yaml.safe_load(template), {}, None))


class _Resource:
    """Something that has an id. moto keeps its models by the service that their module names."""

    def __init__(self, physical_resource_id: str, attributes: dict[str, str] | None = None) -> None:
        self.physical_resource_id = physical_resource_id
        self._attributes = attributes or {}

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return True

    def get_cfn_attribute(self, attribute: str) -> str:
        return self._attributes[attribute]

    @classmethod
    def update_from_cloudformation_json(cls, original_resource: Any, *arguments: Any, **named: Any) -> Any:
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(cls, *arguments: Any, **named: Any) -> None:
        return

    def delete(self, account_id: str, region_name: str) -> None:
        return

    def is_created(self) -> bool:
        return True


class _Api(_Resource, CloudFormationModel):
    __module__ = "moto.apigatewayv2"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::ApiGatewayV2::Api"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **named: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        api = apigatewayv2_backends[account_id][region_name].create_api(
            api_key_selection_expression=None,  # type: ignore[arg-type]
            cors_configuration=None,  # type: ignore[arg-type]
            description="",
            disable_schema_validation=None,  # type: ignore[arg-type]
            disable_execute_api_endpoint=None,  # type: ignore[arg-type]
            name=properties.get("Name") or resource_name,
            protocol_type=properties.get("ProtocolType", "HTTP"),
            route_selection_expression=properties.get("RouteSelectionExpression"),
            tags={},
            version="",
        )
        return cls(api.api_id)

    def delete(self, account_id: str, region_name: str) -> None:
        apigatewayv2_backends[account_id][region_name].delete_api(self.physical_resource_id)


class _Stage(_Resource, CloudFormationModel):
    __module__ = "moto.apigatewayv2"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::ApiGatewayV2::Stage"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **named: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        name = properties["StageName"]
        apigatewayv2_backends[account_id][region_name].get_api(properties["ApiId"]).create_stage({"stageName": name})
        return cls(name)


class _Integration(_Resource, CloudFormationModel):
    __module__ = "moto.apigatewayv2"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::ApiGatewayV2::Integration"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **named: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        integration = (
            apigatewayv2_backends[account_id][region_name]
            .get_api(properties["ApiId"])
            .create_integration(
                connection_type="INTERNET",
                description="",
                integration_method="POST",
                integration_type=properties["IntegrationType"],
                integration_uri=properties["IntegrationUri"],
            )
        )
        return cls(integration.id)


class _Route(_Resource, CloudFormationModel):
    __module__ = "moto.apigatewayv2"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::ApiGatewayV2::Route"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **named: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        route = (
            apigatewayv2_backends[account_id][region_name]
            .get_api(properties["ApiId"])
            .create_route(
                api_key_required=False,
                authorization_scopes=[],
                route_key=properties["RouteKey"],
                target=properties["Target"],
            )
        )
        return cls(route.route_id)


class _FunctionURL(_Resource, CloudFormationModel):
    __module__ = "moto.apigatewayv2"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::Url"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **named: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        function = properties["TargetFunctionArn"]
        url = lambda_backends[account_id][region_name].create_function_url_config(function, properties).url
        return cls(url, {"FunctionUrl": url})
