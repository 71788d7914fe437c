"""A FastAPI application on Lambda, and a page that shows its event: `mangum dev examples.hello:handler`."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse

from mangum import Mangum

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mangum</title>
<style>
  :root { color-scheme: light dark; --line: light-dark(#d5d5dd, #3b3b46); --accent: light-dark(#4338ca, #a5b4fc);
          --card: light-dark(#fff, #1d1d24); }
  body { font: 16px/1.6 system-ui, sans-serif; margin: 0 auto; max-width: 46rem; padding: 3rem 1.25rem;
         background: light-dark(#f7f7fa, #131318); color: light-dark(#1c1c22, #ececf1); }
  h1 { font-size: 1.9rem; letter-spacing: -.02em; margin: 0 0 .25rem; }
  p.lead { margin: 0 0 2rem; opacity: .8; }
  section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1.25rem 1.5rem;
            margin: 0 0 1.25rem; }
  h2 { font-size: 1rem; margin: 0 0 .75rem; }
  a { color: var(--accent); }
  form { display: flex; gap: .6rem; flex-wrap: wrap; }
  input, button { font: inherit; padding: .45rem .8rem; border-radius: .5rem; border: 1px solid var(--line);
                  background: transparent; color: inherit; }
  input { flex: 1 1 14rem; }
  button { background: var(--accent); color: var(--card); border-color: transparent; cursor: pointer; }
  pre { overflow: auto; max-height: 22rem; font-size: .82rem; line-height: 1.45; margin: 0; }
  ul { margin: 0; padding-left: 1.2rem; }
</style>
</head>
<body>
<h1>Hello from Lambda&rsquo;s side</h1>
<p class="lead">Your browser asked, <code>mangum dev</code> made it an event of AWS, and FastAPI answered it.</p>
<section>
  <h2>Say hello</h2>
  <form method="post" action="hello">
    <input name="name" aria-label="Your name" placeholder="Your name, in any script" required>
    <button>Send</button>
  </form>
</section>
<section>
  <h2>Try</h2>
  <ul>
    <li><a href="docs">The API&rsquo;s own documentation</a></li>
    <li><a href="items/caf%C3%A9%2Fcr%C3%A8me?tag=a&amp;tag=b">A quoted path and a repeated query key</a></li>
    <li><a href="fail">An application that raises</a></li>
  </ul>
</section>
<section>
  <h2>The event of this request</h2>
  <pre id="event">__EVENT__</pre>
</section>
</body>
</html>
"""

app = FastAPI(title="mangum demo")


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


@app.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page(request: Request) -> str:
    event = json.dumps(request.scope["aws.event"], indent=2, ensure_ascii=False)
    return PAGE.replace("__EVENT__", escaped(event))


@app.post("/hello", response_class=HTMLResponse)
async def hello(name: Annotated[str, Form()]) -> str:
    return f"<!doctype html><title>Hello</title><h1>Hello, {escaped(name)}!</h1><p><a href='.'>Back</a></p>"


@app.get("/items/{item:path}")
async def item(item: str, request: Request) -> dict[str, Any]:
    return {"item": item, "tags": request.query_params.getlist("tag")}


@app.get("/fail")
async def fail() -> None:
    raise RuntimeError("This is what an exception looks like: a 500 here, a traceback in the log.")


handler = Mangum(app)
