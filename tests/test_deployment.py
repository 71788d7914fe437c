"""The deployment commands from an empty folder to a stack and back, against moto, through HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiobotocore.client
import httpx
import pytest
import yaml
from typer.testing import Result

from mangum.cli.deployment import aws as aws_module
from mangum.cli.deployment import bucket as bucket_module
from mangum.cli.deployment import logs as logs_module
from mangum.cli.deployment import stack as stack_module
from mangum.cli.deployment.archive import write_archive
from mangum.cli.deployment.aws import AWS
from mangum.cli.deployment.bucket import upload
from mangum.cli.deployment.build import digest
from mangum.cli.deployment.errors import CommandError
from mangum.cli.output import progress
from tests.command_line import run
from tests.dev_server import serving
from tests.projects import HANDLER, OWN
from tests.servers.cloud import Cloud
from tests.servers.proxy import proxy_to

REGION = "eu-west-1"

Aws = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stack_module, "_POLL_S", 0.01)
    monkeypatch.setattr(aws_module, "_ATTEMPTS", 2)  # each further one waits longer
    return tmp_path


@pytest.fixture
def aws(cloud: Cloud) -> Aws:
    """A command, with moto for AWS."""

    def command(name: str, *arguments: str, stdin: bytes | None = None) -> Result:
        return run(name, "--endpoint-url", cloud.url, *arguments, stdin=stdin)

    return command


def project(folder: Path, **settings: Any) -> None:
    """Write one, whose code needs nothing."""
    (folder / "app").mkdir(exist_ok=True)
    (folder / "app" / "asgi.py").write_text(HANDLER)
    fixed = {"name": "hello", "bucket_name": "hello-code", "region_name": REGION, "runtime": OWN}
    (folder / "mangum.yml").write_text(yaml.safe_dump(fixed | settings))


@pytest.fixture
def deployed(folder: Path, aws: Aws) -> Path:
    project(folder, websockets=True)
    assert aws("all", "--yes").exit_code == 0
    return folder


def test_the_whole_way(folder: Path, aws: Aws, cloud: Cloud) -> None:
    assert run("init", "hello", "hello-code", REGION, OWN, "--websockets").exit_code == 0
    (folder / "requirements.txt").write_text("idna\n")
    (folder / "app" / "asgi.py").write_text(HANDLER)
    assert run("build").exit_code == 0

    assert "Made s3://hello-code" in aws("create-bucket").stdout
    assert "There already: s3://hello-code" in aws("create-bucket").stdout
    assert "Uploaded s3://hello-code/hello/" in aws("package").stdout
    before = (folder / "packaged.yml").read_bytes()
    assert "There already: s3://hello-code/hello/" in aws("package").stdout
    assert (folder / "packaged.yml").read_bytes() == before
    for name in ("mangum.yml", "template.yml", "packaged.yml"):  # they may hold secrets
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    code = yaml.safe_load(before)["Resources"]["Function"]["Properties"]["CodeUri"]
    assert cloud.boto3("s3", REGION).head_object(Bucket=code["Bucket"], Key=code["Key"])["ContentLength"] > 0
    cloud.boto3("s3", REGION).delete_public_access_block(Bucket="hello-code")
    assert "There already: s3://hello-code" in aws("create-bucket").stdout
    public = cloud.boto3("s3", REGION).get_public_access_block(Bucket="hello-code")
    assert all(public["PublicAccessBlockConfiguration"].values())

    deployed = aws("deploy", "--yes")
    assert deployed.exit_code == 0, deployed.stderr
    assert "+ Function  AWS::Lambda::Function" in deployed.stderr
    assert "CREATE_COMPLETE          hello  AWS::CloudFormation::Stack" in deployed.stderr
    assert "WebSocketUrl: wss://" in deployed.stdout

    described = json.loads(aws("describe", "--json").stdout)
    outputs = described["outputs"]
    assert (described["name"], described["status"]) == ("hello", "CREATE_COMPLETE")
    assert "Url: https://" in aws("describe").stdout
    function = cloud.boto3("lambda", REGION).get_function(FunctionName=outputs["FunctionName"])["Configuration"]
    assert (function["Handler"], function["Runtime"], function["Architectures"]) == ("asgi.handler", OWN, ["x86_64"])
    table = function["Environment"]["Variables"]["MANGUM_DSN"].removeprefix("dynamodb://")
    described_table = cloud.boto3("dynamodb", REGION).describe_table(TableName=table)["Table"]
    assert [key["AttributeName"] for key in described_table["KeySchema"]] == ["pk", "sk"]
    apis = cloud.boto3("apigatewayv2", REGION).get_apis()["Items"]
    assert sorted(api["ProtocolType"] for api in apis) == ["HTTP", "WEBSOCKET"]

    log = cloud.boto3("logs", REGION)
    log.create_log_stream(logGroupName=outputs["LogGroup"], logStreamName="one")
    event = {"timestamp": int(time.time() * 1000), "message": "hello\x1b[2J from\rthe function\n"}
    log.put_log_events(logGroupName=outputs["LogGroup"], logStreamName="one", logEvents=[event])
    assert aws("logs").stdout.endswith("  hello\\x1b[2J from\nthe function\n")
    assert aws("logs", "--since", "0s").stdout == ""

    again = aws("deploy", "--yes", "--json")
    assert (again.exit_code, again.stderr) == (0, "Nothing has changed.\n")
    assert json.loads(again.stdout) == outputs
    (folder / "mangum.yml").write_text((folder / "mangum.yml").read_text().replace("timeout: 30", "timeout: 31"))
    assert aws("package").exit_code == 0
    changed = aws("deploy", "--yes")
    assert "~ Function  AWS::Lambda::Function" in changed.stderr
    assert "UPDATE_COMPLETE" in changed.stderr

    deleted = aws("delete", "--yes")
    assert (deleted.exit_code, deleted.stdout) == (0, "Deleted hello.\n")
    assert aws("delete", "--yes").stdout == "There is no stack hello here.\n"
    assert cloud.boto3("lambda", REGION).list_functions()["Functions"] == []
    assert cloud.boto3("s3", REGION).head_bucket(Bucket="hello-code")["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("api", ["url", "http"])
def test_all(folder: Path, aws: Aws, api: str) -> None:
    project(folder, api=api)
    result = aws("all", "--yes", "--no-pip")
    assert result.exit_code == 0, result.stderr
    assert "Url: https://" in result.stdout


def test_another_region(folder: Path, aws: Aws, cloud: Cloud) -> None:
    project(folder)
    assert aws("all", "--yes", "--region", "us-east-1").exit_code == 0
    assert len(cloud.boto3("cloudformation", "us-east-1").describe_stacks()["Stacks"]) == 1


def test_the_built_folder_runs_where_nothing_can_be_written(folder: Path, tmp_path: Path) -> None:
    project(folder)
    (folder / "requirements.txt").write_text("idna\n")
    (folder / "app" / "asgi.py").write_text(f"import idna\n{HANDLER}".replace("'fine'", "idna.__version__"))
    assert run("build").exit_code == 0
    write_archive(folder / "build", folder / "code.zip")
    task = folder / "task"
    with zipfile.ZipFile(folder / "code.zip") as archive:
        archive.extractall(task)
    before = digest(task)
    for path in (*task.rglob("*"), task):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with serving(task, "asgi:handler", "--workers", "1", "--no-reload") as server:
        assert httpx.get(server.url, timeout=60).text[0].isdigit()
    assert digest(task) == before


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("nothing is shown", 10) as tell:
        tell(5)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("mangum.cli.output.is_for_people", lambda: True)
    with progress("s3://hello-code", 10) as tell:
        tell(10)
    assert "s3://hello-code" in capsys.readouterr().out


class TestQuestions:
    def test_whether_to_deploy(self, folder: Path, aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        project(folder)
        for name in ("build", "create-bucket", "package"):
            assert (run(name) if name == "build" else aws(name)).exit_code == 0
        assert "standard input is not a terminal" in aws("deploy").stderr
        monkeypatch.setattr("mangum.cli.deploy.asks_questions", lambda: True)
        refused = aws("deploy", stdin=b"n\n")
        assert (refused.exit_code, "mangum deploy: Nothing was changed." in refused.stderr) == (1, True)
        assert cloud.boto3("cloudformation", REGION).describe_stacks()["Stacks"] == []
        assert aws("deploy", stdin=b"y\n").exit_code == 0
        project(folder, timeout=31)
        assert aws("package").exit_code == 0
        assert aws("deploy", stdin=b"n\n").exit_code == 1
        assert json.loads(aws("describe", "--json").stdout)["status"] == "CREATE_COMPLETE"

    def test_whether_to_delete(self, deployed: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "standard input is not a terminal" in aws("delete").stderr
        monkeypatch.setattr("mangum.cli.delete.asks_questions", lambda: True)
        assert "Nothing was deleted." in aws("delete", stdin=b"n\n").stderr
        assert aws("describe").exit_code == 0
        assert "Deleted hello." in aws("delete", stdin=b"y\n").stdout


class TestValidate:
    def test_a_template(self, folder: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
        project(folder, runtime="python3.13")
        assert "There is no template: `mangum package` writes it." in aws("validate").stderr
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        assert aws("all", "--yes").exit_code == 0
        result = aws("validate")
        assert result.stdout == "cfn-lint has found nothing.\npackaged.yml can be deployed.\n", result.stderr
        (folder / "packaged.yml").unlink()
        assert "template.yml can be deployed." in aws("validate").stdout
        (folder / "template.yml").write_text("Resources: {A: {Type: 'AWS::No::Such'}}")
        assert "cfn-lint says of template.yml:" in aws("validate").stderr

    def test_without_a_linter(self, folder: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
        project(folder)
        (folder / "template.yml").write_text("this: is none")
        monkeypatch.setenv("PATH", "/nowhere")
        result = aws("validate")
        assert "cfn-lint is not installed" in result.stderr
        assert (result.exit_code, "AWS refuses ValidateTemplate: " in result.stderr) == (1, True)


class TestLogs:
    def test_following(self, deployed: Path, cloud: Cloud) -> None:
        log = cloud.boto3("logs", REGION)
        group = "/aws/lambda/hello"
        log.create_log_stream(logGroupName=group, logStreamName="one")

        def say(text: str) -> None:
            event = {"timestamp": int(time.time() * 1000), "message": text}
            log.put_log_events(logGroupName=group, logStreamName="one", logEvents=[event])

        say("first")
        command = [sys.executable, "-m", "mangum", "logs", "--follow", "--endpoint-url", cloud.url]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONUNBUFFERED": ""}
        with subprocess.Popen(command, cwd=deployed, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().endswith("  first\n")
            say("second")
            assert process.stdout.readline().endswith("  second\n")
            process.send_signal(2)
            assert process.wait(30) == 0

    def test_durations(self, folder: Path, aws: Aws) -> None:
        project(folder)
        assert [logs_module.seconds_of(text) for text in ("90s", "10m", "2h", "1d")] == [90, 600, 7200, 86_400]
        assert "'soon' is no duration such as 90s" in aws("logs", "--since", "soon").stderr

    def test_a_stack_of_another_kind(self, folder: Path, aws: Aws, cloud: Cloud) -> None:
        project(folder)
        assert "There is no stack hello here" in aws("logs").stderr
        template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
        cloud.boto3("cloudformation", REGION).create_stack(StackName="hello", TemplateBody=template)
        assert "The stack hello has no output LogGroup" in aws("logs").stderr


class TestBuckets:
    def test_one_that_is_missing(self, folder: Path, aws: Aws) -> None:
        project(folder)
        assert "There is no build/: `mangum build` makes it." in aws("package").stderr
        assert run("build").exit_code == 0
        assert "The bucket hello-code is not there: `mangum create-bucket` makes it." in aws("package").stderr
        assert not (folder / "packaged.yml").exists()
        assert "There is no packaged.yml: `mangum package` writes it." in aws("deploy", "--yes").stderr

    def test_its_owner_is_named_in_every_call(
        self, folder: Path, aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody else may have made a bucket of that name, and let anybody write to it."""
        calls: dict[str, str | None] = {}
        convert = aiobotocore.client.AioBaseClient._convert_to_request_dict

        async def note(self: Any, api_params: dict[str, Any], operation_model: Any, *rest: Any, **named: Any) -> Any:
            if self.meta.service_model.service_name == "s3":
                calls[operation_model.name] = api_params.get("ExpectedBucketOwner")
            return await convert(self, api_params, operation_model, *rest, **named)

        monkeypatch.setattr(aiobotocore.client.AioBaseClient, "_convert_to_request_dict", note)
        project(folder)
        assert run("build").exit_code == 0
        assert aws("create-bucket").exit_code == 0
        assert aws("package").exit_code == 0
        (folder / "app" / "asgi.py").write_text(f"{HANDLER}# changed\n")
        assert run("build").exit_code == 0
        with cloud.failing("POST /hello-code/", 400, ""):
            assert aws("package").exit_code == 1
        assert calls.pop("CreateBucket") is None  # it has no such parameter, and makes no bucket that is there
        assert {*calls} >= {"HeadBucket", "PutPublicAccessBlock", "HeadObject", "UploadPart", "CompleteMultipartUpload"}
        assert set(calls.values()) == {"123456789012"}

    def test_one_in_another_region(self, folder: Path, aws: Aws, cloud: Cloud) -> None:
        project(folder)
        assert run("build").exit_code == 0
        cloud.boto3("s3", "eu-central-1").create_bucket(
            Bucket="hello-code", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        for name in ("package", "create-bucket"):
            result = aws(name)
            assert result.exit_code == 1
            assert "The bucket hello-code is in eu-central-1, and the stack is to be in eu-west-1" in result.stderr

    @pytest.mark.parametrize(
        ("request_", "status", "message"),
        [
            ("HEAD /hello-code", 403, "The bucket hello-code is somebody else's"),
            ("HEAD /hello-code", 400, "AWS refuses HeadBucket"),
            ("HEAD /hello-code/", 403, "AWS denies HeadObject in eu-west-1"),
        ],
    )
    def test_what_aws_may_say(
        self, folder: Path, aws: Aws, cloud: Cloud, request_: str, status: int, message: str
    ) -> None:
        project(folder)
        assert run("build").exit_code == 0
        assert aws("create-bucket").exit_code == 0
        with cloud.failing(request_, status, ""):
            result = aws("package")
        assert (result.exit_code, message in result.stderr) == (1, True), result.stderr

    @pytest.mark.parametrize(("code", "message"), [("BucketAlreadyExists", "is somebody else's"), ("Other", "(Other)")])
    def test_a_name_that_is_taken(self, folder: Path, aws: Aws, cloud: Cloud, code: str, message: str) -> None:
        project(folder)
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
        with cloud.failing("PUT /hello-code", 409, body):
            result = aws("create-bucket")
        assert (result.exit_code, message in result.stderr) == (1, True), result.stderr

    def test_an_upload_that_breaks_off(
        self, folder: Path, aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project(folder)
        (folder / "app" / "data.bin").write_bytes(os.urandom(12_000_000))
        monkeypatch.setattr(bucket_module, "_PART", 6_000_000)
        assert run("build").exit_code == 0
        assert aws("create-bucket").exit_code == 0
        with cloud.failing("partNumber=2", 400, ""):
            result = aws("package")
        assert result.exit_code == 1
        assert "UploadPart" in result.stderr
        assert not (folder / "packaged.yml").exists()
        s3 = cloud.boto3("s3", REGION)
        assert "Uploads" not in s3.list_multipart_uploads(Bucket="hello-code")
        assert "Contents" not in s3.list_objects_v2(Bucket="hello-code")
        with cloud.failing_at(("partNumber=2", 403, ""), ("DELETE /hello-code", 400, "")):
            assert "AWS denies UploadPart" in aws("package").stderr
        assert "Uploaded" in aws("package").stdout

    def test_the_network_is_lost_in_the_middle(
        self, folder: Path, aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project(folder)
        assert aws("create-bucket").exit_code == 0
        (folder / "code.zip").write_bytes(os.urandom(12_000_000))
        monkeypatch.setattr(bucket_module, "_PART", 6_000_000)
        with ExitStack() as network:
            proxy = network.enter_context(proxy_to(cloud.port))
            broken = AWS(region=REGION, endpoint_url=f"http://127.0.0.1:{proxy.port}")
            uploading = upload(broken, "hello-code", "code.zip", folder / "code.zip", lambda done: network.close())
            with pytest.raises(CommandError, match="AWS cannot be reached: "):
                asyncio.run(uploading)
        assert "Contents" not in cloud.boto3("s3", REGION).list_objects_v2(Bucket="hello-code")


class TestStacks:
    @pytest.fixture
    def packaged(self, folder: Path, aws: Aws) -> Path:
        project(folder)
        for name in ("build", "create-bucket", "package"):
            assert (run(name) if name == "build" else aws(name)).exit_code == 0
        return folder

    @pytest.mark.parametrize(
        ("status", "message"),
        [
            (
                "ROLLBACK_COMPLETE",
                "is in ROLLBACK_COMPLETE, from which it cannot be changed: `mangum delete` removes it",
            ),
            ("UPDATE_ROLLBACK_FAILED", "is in UPDATE_ROLLBACK_FAILED, from which"),
            ("UPDATE_IN_PROGRESS", "is being changed by somebody else (UPDATE_IN_PROGRESS): try again later."),
        ],
    )
    def test_a_state_that_it_cannot_be_changed_from(
        self, packaged: Path, aws: Aws, cloud: Cloud, status: str, message: str
    ) -> None:
        with cloud.failing("DescribeStacks", 200, described(status)):
            result = aws("deploy", "--yes")
        assert (result.exit_code, message in result.stderr) == (1, True), result.stderr

    def test_a_template_that_is_not_taken(self, packaged: Path, aws: Aws, cloud: Cloud) -> None:
        answer = response("DescribeChangeSet", "<Status>FAILED</Status><StatusReason>No such type</StatusReason>")
        with cloud.failing("DescribeChangeSet", 200, answer):
            result = aws("deploy", "--yes")
        assert "CloudFormation does not take the template: No such type" in result.stderr

    def test_a_change_set_that_is_not_ready(
        self, packaged: Path, aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pending = response("DescribeChangeSet", "<Status>CREATE_PENDING</Status>")
        with cloud.failing("DescribeChangeSet", 200, pending, times=1):
            assert aws("deploy", "--yes").exit_code == 0
        monkeypatch.setattr(stack_module, "_PREPARE_S", 0.05)
        project(packaged, timeout=31)
        assert aws("package").exit_code == 0
        with cloud.failing("DescribeChangeSet", 200, pending):
            assert "was not ready after" in aws("deploy", "--yes").stderr

    def test_a_resource_that_fails(self, packaged: Path, aws: Aws, cloud: Cloud) -> None:
        happened = events(
            ("hello", "AWS::CloudFormation::Stack", "ROLLBACK_COMPLETE", ""),
            ("Other", "AWS::SNS::Topic", "CREATE_FAILED", "Resource creation cancelled"),
            ("Function", "AWS::Lambda::Function", "CREATE_FAILED", "The role is not there"),
            ("hello", "AWS::CloudFormation::Stack", "CREATE_IN_PROGRESS", "User Initiated"),
        )
        answers = [("DescribeStackEvents", 200, each) for each in (events(), events(), happened)]  # at first, none
        with cloud.failing_at(*answers, times=1):
            result = aws("deploy", "--yes")
        assert result.exit_code == 1
        assert "The stack hello ended in ROLLBACK_COMPLETE. The first to fail was Function" in result.stderr
        assert "(AWS::Lambda::Function): The role is not there" in result.stderr

    def test_what_cannot_be_deleted(self, deployed: Path, aws: Aws, cloud: Cloud) -> None:
        happened = events(("hello", "AWS::CloudFormation::Stack", "DELETE_FAILED", "The bucket is not empty"))
        with cloud.failing_at(("DescribeStackEvents", 200, events()), ("DescribeStackEvents", 200, happened), times=1):
            result = aws("delete", "--yes")
        assert (result.exit_code, "ended in DELETE_FAILED" in result.stderr) == (1, True)

    def test_what_does_not_end(self, deployed: Path, aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stack_module, "_CHANGE_S", 0.05)
        with cloud.failing("DescribeStackEvents", 200, events()):
            assert "had not come to an end after an hour" in aws("delete", "--yes").stderr


class TestCredentials:
    def test_none(self, folder: Path, cloud: Cloud, no_aws: None) -> None:
        project(folder)
        result = run("describe", "--endpoint-url", cloud.url)
        assert (result.exit_code, "There are no credentials for AWS: `aws configure`" in result.stderr) == (1, True)

    def test_a_profile(self, folder: Path, cloud: Cloud, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
        project(folder)
        result = run("describe", "--endpoint-url", cloud.url, "--profile", "missing")
        assert (result.exit_code, "There is no profile missing in AWS's configuration." in result.stderr) == (1, True)
        Path(os.environ["AWS_CONFIG_FILE"]).write_text(
            "[profile there]\naws_access_key_id = a\naws_secret_access_key = b\n"
            "[profile broken]\ncredential_process = false\n"
        )
        assert "There is no stack hello" in run("describe", "--endpoint-url", cloud.url, "--profile", "there").stderr
        result = run("describe", "--endpoint-url", cloud.url, "--profile", "broken")
        assert "The credentials could not be had, perhaps they have expired" in result.stderr

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("ExpiredToken", "The credentials for AWS have expired: get new ones"),
            ("InvalidClientTokenId", "AWS does not know the credentials (InvalidClientTokenId)"),
            ("AccessDenied", "AWS denies DescribeStacks in eu-west-1: the credentials lack that right. no"),
            ("Throttling.Other", "AWS refuses DescribeStacks: no (Throttling.Other)"),
        ],
    )
    def test_what_aws_says_of_them(self, folder: Path, aws: Aws, cloud: Cloud, code: str, message: str) -> None:
        project(folder)
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
        with cloud.failing("DescribeStacks", 403, body):
            result = aws("describe")
        assert (result.exit_code, message in result.stderr) == (1, True), result.stderr

    def test_nobody_answers(self, folder: Path, aws: Aws, cloud: Cloud) -> None:
        project(folder)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        result = run("describe", "--endpoint-url", f"http://127.0.0.1:{port}")
        assert (result.exit_code, "AWS cannot be reached: " in result.stderr) == (1, True)
        with cloud.failing("DescribeStacks", 400, "nonsense"):
            assert "AWS cannot be reached: " in aws("describe").stderr


def response(operation: str, content: str) -> str:
    return f"<{operation}Response><{operation}Result>{content}</{operation}Result></{operation}Response>"


def described(status: str) -> str:
    member = f"<StackName>hello</StackName><StackId>id</StackId><StackStatus>{status}</StackStatus>"
    created = "<CreationTime>2026-01-01T00:00:00Z</CreationTime>"
    return response("DescribeStacks", f"<Stacks><member>{member}{created}</member></Stacks>")


def events(*happened: tuple[str, str, str, str]) -> str:
    """The newest first."""
    members = "".join(
        f"<member><StackId>id</StackId><EventId>{number}-{status}</EventId><StackName>hello</StackName>"
        f"<LogicalResourceId>{name}</LogicalResourceId><ResourceType>{kind}</ResourceType>"
        f"<PhysicalResourceId>{'id' if 'Stack' in kind else name}</PhysicalResourceId>"
        f"<ResourceStatus>{status}</ResourceStatus><ResourceStatusReason>{reason}</ResourceStatusReason>"
        "<Timestamp>2026-01-01T00:00:00Z</Timestamp></member>"
        for number, (name, kind, status, reason) in enumerate(happened)
    )
    return response("DescribeStackEvents", f"<StackEvents>{members}</StackEvents>")
