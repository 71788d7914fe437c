"""What is deployed: the code of functions, as text, since it is written to folders, and run by workers too."""

from __future__ import annotations

from typing import Any

__all__ = ["FASTAPI_5", "FASTAPI_100", "FASTAPI_DEF", "MANGUM_FUNCTIONS", "OTHER_FUNCTIONS", "RAW", "RAW_OFF", "load"]

RAW = "raw ASGI"
RAW_OFF = "raw ASGI, lifespan off"
FASTAPI_5 = "FastAPI, 5 routes"
FASTAPI_100 = "FastAPI, 100 routes and models"

_FASTAPI = """\
from typing import Optional

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from mangum import Mangum
from pydantic import BaseModel, Field

app = FastAPI()


@app.get("/hello", response_class=PlainTextResponse)
async def hello():
    return "Hello, world!"

"""
_ROUTE = """
@app.get("/items/{n}/{{item_id}}")
async def item_{n}(item_id: int):
    return {{"item_id": item_id}}

"""
_MODEL_ROUTE = """
class Item{n}(BaseModel):
    name: str = Field(min_length=1, max_length=80)
    price: float = Field(gt=0)
    tags: list[str] = []
    note: Optional[str] = None


@app.post("/items/{n}/{{item_id}}", response_model=Item{n})
async def item_{n}(item_id: int, item: Item{n}, q: Optional[str] = None):
    return item

"""
_MANGUM = "handler = Mangum(app)\n"

# An endpoint that a worker thread runs.
FASTAPI_DEF = (_FASTAPI + "".join(_ROUTE.format(n=n) for n in range(4))).replace("async def hello", "def hello")

MANGUM_FUNCTIONS = {
    RAW: "from hello_app import hello\nfrom mangum import Mangum\n\nhandler = Mangum(hello)\n",
    RAW_OFF: 'from hello_app import hello\nfrom mangum import Mangum\n\nhandler = Mangum(hello, lifespan="off")\n',
    FASTAPI_5: _FASTAPI + "".join(_ROUTE.format(n=n) for n in range(4)) + _MANGUM,
    FASTAPI_100: _FASTAPI + "".join(_MODEL_ROUTE.format(n=n) for n in range(99)) + _MANGUM,
}
_WSGI = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "13")])
    return [b"Hello, world!"]


"""
# By the name of the peer; the floor is the application and nothing else.
OTHER_FUNCTIONS = {
    "floor": """\
import asyncio

from hello_app import hello


def handler(event, context):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(hello({"type": "http"}, receive, send))
    return {"statusCode": sent[0]["status"], "body": sent[1]["body"].decode()}
""",
    "apig-wsgi": f"from apig_wsgi import make_lambda_handler\n\n\n{_WSGI}handler = make_lambda_handler(app)\n",
    "serverless-wsgi": f"""\
from serverless_wsgi import handle_request


{_WSGI}def handler(event, context):
    return handle_request(app, event, context)
""",
    "Powertools": """\
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response

app = APIGatewayHttpResolver()


@app.get("/hello")
def hello():
    return Response(200, content_type="text/plain; charset=utf-8", body="Hello, world!")


handler = app.resolve
""",
}


def load(code: str) -> dict[str, Any]:
    """The names that a function's module has."""
    namespace: dict[str, Any] = {"__name__": "function"}
    exec(code, namespace)
    return namespace
