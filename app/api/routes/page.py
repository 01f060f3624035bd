"""GET /: a page for people, which draws what the API serves; for programs, an index of addresses.

The page is `app/api/page/index.html` with what only the server knows put in. All else that it loads
lies beside that file, and is served under one hash of all of it, `/page/HASH/NAME`: so a browser
may keep it for ever, and modules of two versions never meet. Only the chart's library may be
missing there (`make chart`); the page then shows a picture (`/{pair}/chart.svg`).
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from html import escape
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.negotiation import prefers_html
from app.api.reply_headers import POLICY
from app.api.responses import TaggedReply, conditional_response, file_reply, tagged_reply
from app.domain import rendering

PAGE_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load and ask: this origin alone, and nothing inline."""

LIBRARY: Final = "library/lightweight-charts.js"

LANGUAGES: Final = ("en", "pt-BR")

_FOLDER: Final = Path(__file__).parents[1] / "page"
_INDEX: Final = "index.html"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_KEPT: Final = (b"cache-control", b"public, max-age=31536000, immutable")


@dataclass(frozen=True, slots=True)
class _Assets:
    """What the page loads, by name, and the hash of all of it."""

    hash: str
    files: Mapping[str, TaggedReply]
    template: string.Template


@cache
def _assets() -> _Assets:
    """The files, read once."""
    paths = sorted(path for path in _FOLDER.rglob("*") if path.suffix in _TYPES)
    digest = blake2b(digest_size=8)
    files = {}
    for path in paths:
        name, body = path.relative_to(_FOLDER).as_posix(), path.read_bytes()
        digest.update(f"{name} {len(body)}\n".encode() + body)
        files[name] = file_reply(body, _TYPES[path.suffix])
    template = string.Template((_FOLDER / _INDEX).read_text())
    return _Assets(digest.hexdigest(), files, template)


async def _root(request: Request) -> Response:
    if not prefers_html(request.headers.getlist("accept")):
        held = request.headers.get("if-none-match")
        return conditional_response(tagged_reply(_index(request)), held)
    reply = _page(request, _language(request))
    response = conditional_response(reply, request.headers.get("if-none-match"))
    # A 304 has it, too: a browser may put the headers of a 304 in the place of those that it keeps.
    response.raw_headers.append((POLICY[0], PAGE_POLICY))
    return response


def _page(request: Request, language: str) -> TaggedReply:
    """The page in this language."""
    assets, root = _assets(), request.scope.get("root_path", "")
    folder = f"{root}/page/{assets.hash}"
    modules = sorted(name for name in assets.files if name.endswith(".js"))
    text = assets.template.substitute(
        lang=language,
        root=escape(root),
        assets=escape(folder),
        chart="library" if LIBRARY in assets.files else "picture",
        modules="\n".join(
            f'<link rel="modulepreload" href="{escape(folder)}/{name}">' for name in modules
        ),
    )
    return file_reply(text.encode(), "text/html; charset=utf-8")


def _index(request: Request) -> bytes:
    root = request.scope.get("root_path", "")
    return rendering.flat({"page": f"{root}/", "pairs": f"{root}/pairs"})


def _language(request: Request) -> str:
    """The language of the page: the one in its address, else what the browser prefers."""
    asked = request.query_params.get("lang", "")
    preferred = asked or request.headers.get("accept-language", "")
    return "pt-BR" if preferred.strip().lower().startswith("pt") else "en"


async def _asset(request: Request) -> Response:
    assets = _assets()
    reply = assets.files.get(request.path_params["name"])
    if reply is None:
        raise HTTPException(404)
    response = conditional_response(reply, request.headers.get("if-none-match"))
    if request.path_params["hash"] == assets.hash:
        response.headers["cache-control"] = _KEPT[1].decode()
    return response


ROUTES: Final = (
    Route("/", _root),
    Route("/page/{hash}/{name:path}", _asset),
)
