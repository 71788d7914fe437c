"""Real frameworks, behind every kind of front door, from the main thread and from another."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import a2wsgi
import django
import falcon.asgi
import flask
import litestar
import pytest
import quart
import sanic
from django.conf import settings
from fastapi import BackgroundTasks, FastAPI, File, Form, Request, UploadFile
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mangum import Mangum
from mangum.local.events.requests import HTTPRequest
from mangum.types import ASGI
from tests.apps import Context
from tests.sources import BY_NAME, FrontDoor

settings.configure(
    DEBUG=False, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="test", MIDDLEWARE=[], USE_TZ=True
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402 # it needs the settings
from django.http import HttpRequest, HttpResponseBase  # noqa: E402
from django.http import JsonResponse as DjangoJSON  # noqa: E402
from django.urls import path as django_path  # noqa: E402

# Each application answers POST /echo/{name} with what it understood of the request.


def fastapi_app() -> ASGI:
    app = FastAPI()

    @app.post("/echo/{name}")
    async def echo(name: str, request: Request) -> dict[str, Any]:
        return {"name": name, "q": request.query_params.getlist("q"), "body": (await request.body()).decode()}

    return app


def starlette_app() -> ASGI:
    async def echo(request: StarletteRequest) -> JSONResponse:
        body = (await request.body()).decode()
        return JSONResponse({"name": request.path_params["name"], "q": request.query_params.getlist("q"), "body": body})

    return Starlette(routes=[Route("/echo/{name}", echo, methods=["POST"])])


def quart_app() -> ASGI:
    app = quart.Quart(__name__)

    @app.post("/echo/<name>")
    async def echo(name: str) -> dict[str, Any]:
        return {"name": name, "q": quart.request.args.getlist("q"), "body": await quart.request.get_data(as_text=True)}

    return app


def django_view(request: HttpRequest, name: str) -> HttpResponseBase:
    return DjangoJSON({"name": name, "q": request.GET.getlist("q"), "body": request.body.decode()})


urlpatterns = [django_path("echo/<str:name>", django_view), django_path("api/echo/<str:name>", django_view)]


def django_app() -> ASGI:
    app: ASGI = get_asgi_application()
    return app


def litestar_app() -> ASGI:
    @litestar.post("/echo/{name:str}", status_code=200)
    async def echo(request: litestar.Request[Any, Any, Any]) -> dict[str, Any]:
        return {
            "name": request.path_params["name"],
            "q": request.query_params.getall("q"),
            "body": (await request.body()).decode(),
        }

    return litestar.Litestar([echo], logging_config=None)


def falcon_app() -> ASGI:
    class Echo:
        async def on_post(self, request: Any, response: Any, name: str) -> None:
            body = (await request.bounded_stream.read()).decode()
            response.media = {"name": name, "q": request.get_param_as_list("q"), "body": body}

    app = falcon.asgi.App()
    app.req_options.auto_parse_qs_csv = False
    app.add_route("/echo/{name}", Echo())
    return app


def flask_app() -> ASGI:
    app = flask.Flask(__name__)

    @app.post("/echo/<name>")
    def echo(name: str) -> dict[str, Any]:
        return {"name": name, "q": flask.request.args.getlist("q"), "body": flask.request.get_data(as_text=True)}

    return a2wsgi.WSGIMiddleware(app)  # type: ignore[arg-type] # Flask's own are wider


def sanic_app() -> ASGI:
    sanic.Sanic.test_mode = True
    app = sanic.Sanic(f"test_{threading.get_ident()}_{len(sanic.Sanic._app_registry)}", configure_logging=False)

    @app.post("/echo/<name:str>", unquote=True)
    async def echo(request: sanic.Request, name: str) -> sanic.HTTPResponse:
        return sanic.json({"name": name, "q": request.args.getlist("q"), "body": request.body.decode()})

    return app


APPS: list[Callable[[], ASGI]] = [
    fastapi_app,
    starlette_app,
    quart_app,
    django_app,
    litestar_app,
    falcon_app,
    flask_app,
    sanic_app,
]
every_app = pytest.mark.parametrize("make_app", APPS, ids=lambda make: make.__name__.removesuffix("_app"))
ECHO = HTTPRequest(
    method="POST",
    path="/echo/caf%C3%A9%20x",
    query_string="q=1&q=a%2Bb",
    headers=(("Host", "example.org"), ("Content-Type", "text/plain")),
    body="grüße".encode(),
)


@every_app
def test_a_framework_behind_each_front_door(make_app: Callable[[], ASGI]) -> None:
    answers: list[tuple[FrontDoor, Any]] = []

    def call_all() -> None:
        for name in ("rest-api", "http-api-2.0", "function-url", "alb"):
            answers.append((BY_NAME[name], handler(BY_NAME[name].event(ECHO), Context())))

    with Mangum(make_app()) as handler:
        call_all()
        thread = threading.Thread(target=call_all)
        thread.start()
        thread.join()

    assert len(answers) == 8
    for door, answer in answers:
        status, _, body = door.read(answer)
        content = json.loads(body)
        assert (status, content["name"], content["body"]) == (200, "café x", "grüße")
        assert content["q"] == (["a+b"] if door.keeps_last else ["1", "a+b"])


@pytest.mark.parametrize("make_app", [fastapi_app, starlette_app, django_app, quart_app, litestar_app, flask_app])
def test_a_framework_below_a_root_path(make_app: Callable[[], ASGI]) -> None:
    with Mangum(make_app(), root_path="/api") as handler:
        answer = handler(BY_NAME["function-url"].event(ECHO), Context())
    assert answer["statusCode"] == 200
    assert '"caf' in answer["body"]


def rest(method: str, path: str, *headers: tuple[str, str], body: bytes = b"") -> dict[str, Any]:
    request = HTTPRequest(method=method, path=path, headers=(("Host", "example.org"), *headers), body=body)
    return BY_NAME["rest-api"].event(request)


def test_what_fastapi_users_use() -> None:
    log: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"pool": "open"}

    app = FastAPI(lifespan=lifespan)

    @app.middleware("http")
    async def add_header(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-middleware"] = "1"
        return response

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            for number in range(3):
                yield f"{number};"

        return StreamingResponse(chunks(), media_type="text/plain")

    @app.get("/background")
    def background(request: Request, tasks: BackgroundTasks) -> str:
        tasks.add_task(log.append, "background")
        return str(request.state.pool)

    @app.post("/upload")
    async def upload(file: UploadFile = File(), note: str = Form()) -> dict[str, Any]:  # noqa: B008 # FastAPI's way
        return {"name": file.filename, "size": len(await file.read()), "note": note}

    multipart = (
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhi\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\x00\xff\x00\r\n--b--\r\n"
    )
    with Mangum(app) as handler:
        streamed = handler(rest("GET", "/stream"), Context())
        assert (streamed["body"], streamed["headers"]["x-middleware"]) == ("0;1;2;", "1")
        assert handler(rest("GET", "/background"), Context())["body"] == '"open"'
        assert log == ["background"]
        content_type = ("Content-Type", "multipart/form-data; boundary=b")
        uploaded = handler(rest("POST", "/upload", content_type, body=multipart), Context())
        assert uploaded["body"] == '{"name":"x.bin","size":3,"note":"hi"}'
        assert "/openapi.json" in handler(rest("GET", "/docs"), Context())["body"]


def test_middleware_that_compresses() -> None:
    async def page(request: StarletteRequest) -> Response:
        return Response("text " * 200, media_type="text/plain")

    app = GZipMiddleware(Starlette(routes=[Route("/", page)]), minimum_size=10)
    with Mangum(app) as handler:
        answer = handler(rest("GET", "/", ("Accept-Encoding", "gzip")), Context())
    assert answer["isBase64Encoded"] is True
    assert gzip.decompress(base64.b64decode(answer["body"])) == b"text " * 200


def test_base_http_middleware_and_an_error() -> None:
    class Catch(BaseHTTPMiddleware):
        async def dispatch(self, request: StarletteRequest, call_next: RequestResponseEndpoint) -> Response:
            try:
                return await call_next(request)
            except ValueError:
                return Response("caught", 409, media_type="text/plain")

    async def fail(request: StarletteRequest) -> Response:
        raise ValueError

    app = Starlette(routes=[Route("/", fail)])
    app.add_middleware(Catch)
    with Mangum(app) as handler:
        answer = handler(rest("GET", "/"), Context())
    assert (answer["statusCode"], answer["body"]) == (409, "caught")
