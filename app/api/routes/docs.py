"""/docs and /openapi.json, while the setting DOCS is on.

The page is Swagger UI. It loads nothing from another host, and nothing in it is inline, so that its
Content-Security-Policy can forbid both. Its addresses are relative: they hold under the path of a
proxy, too. Our own files are in `app/api/docs`, Swagger UI's in the package fastapi-offline.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Final

import fastapi_offline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from app.api.responses import TaggedReply, conditional_response, file_reply, tagged_reply

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load and ask. Swagger UI's style sheet has its pictures inside (data:)."""

_OURS: Final = Path(__file__).parents[1] / "docs"
_SWAGGER_UI: Final = Path(fastapi_offline.__file__).parent / "static"
_LOADED: Final = {
    "favicon.png": (_SWAGGER_UI, "image/png"),
    "start.js": (_OURS, "text/javascript; charset=utf-8"),
    "swagger-ui-bundle.js": (_SWAGGER_UI, "text/javascript; charset=utf-8"),
    "swagger-ui.css": (_SWAGGER_UI, "text/css; charset=utf-8"),
}
"""What the page loads: the folder and the type of each."""


class _Optional(Route):
    """A route that is not there while DOCS is off."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or not scope["state"]["context"].has_docs:
            return Match.NONE, {}
        return super().matches(scope)


async def _page(request: Request) -> Response:
    reply = _reply(request, _OURS / "page.html", "text/html; charset=utf-8")
    # A 304 has it, too: a browser may put the headers of a 304 in the place of those that it keeps.
    reply.headers["Content-Security-Policy"] = POLICY
    return reply


async def _loaded(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _LOADED:
        raise HTTPException(404)
    folder, kind = _LOADED[name]
    return _reply(request, folder / name, kind)


async def _document(request: Request) -> Response:
    text = json.dumps(request.app.openapi(), separators=(",", ":"))
    return _unless_held(request, tagged_reply(text.encode()))


def _reply(request: Request, path: Path, kind: str) -> Response:
    return _unless_held(request, _file(path, kind))


def _unless_held(request: Request, reply: TaggedReply) -> Response:
    """The reply, or 304 where the client holds it."""
    return conditional_response(reply, request.headers.get("if-none-match"))


@cache
def _file(path: Path, kind: str) -> TaggedReply:
    """The reply with a file, read once. Its tag is the same wherever the file is."""
    return file_reply(path.read_bytes(), kind)


ROUTES: Final = (
    _Optional("/docs", _page),
    _Optional("/docs/{name}", _loaded),
    _Optional("/openapi.json", _document),
)
