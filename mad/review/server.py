"""The review page's server, for the browser of this machine only.

It listens on 127.0.0.1. Requests for another host's name are refused (a web page whose name was rebound to this
address would send its own), and what changes anything needs a token that only this page holds, new at each
start. Images are asked for by key, never by path, and sent as JPEG that was encoded here.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import UserError
from benchmark.core.text import fill_template
from benchmark.images.decode import BrokenImage
from mad.review.session import Refused, Session

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ADDRESS = "127.0.0.1"
ASSETS = Path(__file__).parent / "assets"
STATIC = {"review.css": "text/css", "review.js": "text/javascript", "icon.svg": "image/svg+xml"}
TOKEN = "x-review-token"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True)
class About:
    """Words for the page: the search under review, the commands that come next; and if only conflicts are shown."""

    search: str
    commands: tuple[str, ...] = ()
    conflicts: bool = False


def create_app(session: Session, token: str, about: About) -> Starlette:
    """The web application.

    Args:
        session: the annotator's.
        token: value of the header `TOKEN` that a request must bring if it changes anything.
        about: words for the page.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    def page(request: Request) -> Response:
        return HTMLResponse(render(session.annotator, token, about))

    def static(request: Request) -> Response:
        name = request.url.path.removeprefix("/")
        return Response((ASSETS / name).read_bytes(), media_type=STATIC[name])

    def image(request: Request) -> Response:
        try:
            picture = session.render(request.path_params["key"])
        except KeyError:
            return PlainTextResponse("no such image is up for review", 404)
        except BrokenImage as error:
            return PlainTextResponse(str(error), 404)
        return Response(picture.jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    def answer(accepted: bool) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                return JSONResponse(session.answer(request.path_params["key"], accepted))
            except KeyError:
                return PlainTextResponse("This image is not up for review.", 404)
            except Refused as error:
                return PlainTextResponse(str(error), 409)
            except UserError as error:
                return PlainTextResponse(f"The answer could not be kept ({error}).", 503)

        return endpoint

    def undo(request: Request) -> Response:
        try:
            return JSONResponse(session.undo())
        except UserError as error:
            return PlainTextResponse(f"The answer could not be taken back ({error}).", 503)

    return Starlette(
        routes=[
            Route("/", page),
            *(Route(f"/{name}", static) for name in STATIC),
            Route("/state", lambda request: JSONResponse(session.view(request.query_params.get("group")))),
            Route("/groups", lambda request: JSONResponse(session.list_groups())),
            Route("/image/{key}", image),
            Route("/accept/{key}", answer(True), methods=["POST"]),
            Route("/reject/{key}", answer(False), methods=["POST"]),
            Route("/undo", undo, methods=["POST"]),
        ],
        exception_handlers={UserError: lambda request, error: PlainTextResponse(str(error), 503)},
        middleware=[
            Middleware(_Guard, token=token),
            Middleware(TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"], www_redirect=False),
        ],
    )


def render(annotator: str, token: str, about: About) -> str:
    """The page. What its script shows later is set as text."""
    return fill_template(ASSETS / "page.html.jinja", annotator=annotator, token=token, about=about)


class _Guard:
    """Sets `HEADERS` on every response, and refuses a request that changes anything without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        token = Headers(scope=scope).get(TOKEN, "").encode()
        if scope["method"] in ("GET", "HEAD") or secrets.compare_digest(token, self.token.encode()):
            await self.app(scope, receive, guarded)
        else:
            refusal = PlainTextResponse("The server was started anew: reload this page to go on.", 403)
            await refusal(scope, receive, guarded)


def listen(port: int) -> socket.socket:
    """A socket on `port` of this machine's own address; 0 takes any free one.

    Raises:
        UserError: if the port is not to be had.
    """
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as error:
        raise UserError(f"port {port} is not to be had ({error.strerror}); --port 0 takes any free one") from error


def serve(session: Session, listening: socket.socket, about: About) -> None:
    """Serve the page on `listening` until Ctrl-C."""
    import uvicorn

    config: dict[str, Any] = {"lifespan": "off", "ws": "none", "access_log": False, "log_level": "warning"}
    app = create_app(session, secrets.token_urlsafe(32), about)
    # Browsers keep connections open; they must not hold up the end.
    uvicorn.Server(uvicorn.Config(app, server_header=False, timeout_graceful_shutdown=1, **config)).run([listening])
