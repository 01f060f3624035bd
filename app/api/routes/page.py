"""GET /: a page for people, which draws what the API serves; for programs, an index of addresses.

The page is `app/api/page/index.html` with what only the server knows put in. All else that it loads
lies beside that file, and is served under one hash of all of it, `/page/HASH/NAME`: so a browser
may keep it for ever, and modules of two versions never meet. Only the chart's library may be
missing there; the page then shows a picture (`/{pair}/chart.svg`).
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from html import escape
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from app import __version__
from app.api.compression import VARY, accepts_gzip, gzipped
from app.api.context import Context
from app.api.documented import conditional_replies, problems
from app.api.models import INDEX_EXAMPLE, Index
from app.api.negotiation import MEDIA_TYPES, preferred_languages, prefers_html, require
from app.api.parameters import ContextDep, IfNoneMatch
from app.api.queries import NOTHING
from app.api.reply_headers import POLICY
from app.api.responses import (
    JsonBytes,
    TaggedReply,
    conditional_response,
    file_reply,
    tagged_reply,
)
from app.core.market import Interval
from app.domain import rendering
from app.domain.tables import Format

router = APIRouter(tags=["Start"], default_response_class=JsonBytes)

PAGE_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load and ask: this origin alone, and nothing inline."""

LIBRARY: Final = "library/lightweight-charts.js"

_FOLDER: Final = Path(__file__).parents[1] / "page"
_INDEX: Final = "index.html"
_MAIN: Final = "main.js"
_IMPORT: Final = re.compile(r'(?m)^(?:im|ex)port .* from "\./([a-z-]+\.js)";$')
_HTML: Final = "text/html"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_KEPT: Final = "public, max-age=31536000, immutable"
_VARY: Final = (VARY[0], VARY[1] + b", Accept-Language")
_BEST: Final = 9
"""The level of gzip of a file, which is compressed once."""

_ENGLISH: Final = "en"
_PORTUGUESE: Final = "pt-BR"
_DOCUMENTATION: Final = {
    _ENGLISH: ' <a href="{root}/docs">Every request</a> can be tried out.',
    _PORTUGUESE: ' <a href="{root}/docs">Todas as requisições</a> podem ser testadas.',
}
_NO_SCRIPT: Final = {
    _ENGLISH: "<p>Without JavaScript there is a picture of {pair}, and "
    '<a href="{root}/pairs">what is served</a>.{documentation}</p>'
    '<img src="{picture}&amp;lang=en" alt="Candles and averages of {pair}">',
    _PORTUGUESE: "<p>Sem JavaScript há uma imagem de {pair}, e "
    '<a href="{root}/pairs">o que é servido</a>.{documentation}</p>'
    '<img src="{picture}&amp;lang=pt-BR" alt="Candles e médias de {pair}">',
}


class _Asset(NamedTuple):
    """A file that the page loads: as it is, and in gzip."""

    plain: TaggedReply
    packed: TaggedReply


@dataclass(frozen=True, slots=True)
class _Assets:
    """What the page loads, by name, and the hash of all of it.

    `modules` are those that its first drawing needs, without a dictionary, the largest first.
    """

    hash: str
    files: Mapping[str, _Asset]
    template: string.Template
    modules: tuple[str, ...]


@cache
def _assets() -> _Assets:
    """The files, read and compressed once."""
    paths = sorted(path for path in _FOLDER.rglob("*") if path.suffix in _TYPES)
    digest = blake2b(digest_size=8)
    files = {}
    for path in paths:
        name, body = path.relative_to(_FOLDER).as_posix(), path.read_bytes()
        digest.update(f"{name} {len(body)}\n".encode() + body)
        plain = file_reply(body, _TYPES[path.suffix])
        headers, packed = gzipped(plain.headers, body, _BEST)
        files[name] = _Asset(plain, TaggedReply(headers, packed, plain.tag))
    template = string.Template((_FOLDER / _INDEX).read_text())
    return _Assets(digest.hexdigest(), files, template, _first_modules(files))


def _first_modules(files: Mapping[str, _Asset]) -> tuple[str, ...]:
    """The library, and the module that starts the page with all that it imports."""
    names = [_MAIN]
    for name in names:
        text = files[name].plain.body.decode()
        names += [each for each in _IMPORT.findall(text) if each not in names]
    return (*(each for each in (LIBRARY,) if each in files), *names)


def has_chart() -> bool:
    """Whether the library that draws the chart is there."""
    return (_FOLDER / LIBRARY).is_file()


def _documented() -> dict[int | str, dict[str, object]]:
    replies = conditional_replies("The addresses to begin with.", Index, INDEX_EXAMPLE)
    page = {"schema": {"type": "string"}, "example": "<!DOCTYPE html>"}
    replies[200]["content"][_HTML] = page
    return replies


@router.get(
    "/",
    operation_id="getIndex",
    summary="The page for people; the addresses for programs",
    responses={**_documented(), **problems()},
)
async def index(request: Request, context: ContextDep, held: IfNoneMatch) -> Response:
    """A client that prefers HTML, as browsers do, gets a page that draws what the API serves.

    Any other gets the addresses to begin with; those of series are for the first served pair.
    """
    if not prefers_html(request.headers.getlist("accept")):
        require(MEDIA_TYPES[Format.JSON], request, other=_HTML)
        NOTHING.read(request.scope["query_string"])
        return conditional_response(_addresses(request, context), held)
    response = conditional_response(_page(request, context), held)
    # A 304 has it, too: a browser may put the headers of a 304 in the place of those that it keeps.
    response.raw_headers.append((POLICY[0], PAGE_POLICY))
    return response


def _addresses(request: Request, context: Context) -> TaggedReply:
    """The addresses to begin with."""
    settings, root = context.runtime.settings, request.scope.get("root_path", "")
    pair = quote(settings.allowed_pairs[0].legacy, safe="")
    symbol = quote(settings.allowed_symbols[0].symbol, safe="")
    query = f"interval={_interval(context)}"
    addresses = {
        "page": "/",
        "pairs": "/pairs",
        "latest": f"/latest?{query}",
        "averages": f"/{pair}/mms?range=20&{query}",
        "candles": f"/{pair}/candles?{query}",
        "gaps": f"/{pair}/gaps?{query}",
        "chart": f"/{pair}/chart.svg?{query}",
        "history": f"/history/{symbol}",
        "symbols": "/supported-symbols",
        "stream": "/stream",
        "health": "/health",
    }
    if context.has_docs:
        addresses |= {"docs": "/docs", "openapi": "/openapi.json"}
    named = {name: root + path for name, path in addresses.items()}
    return tagged_reply(rendering.flat({"name": "MMS API", "version": __version__, **named}))


def _interval(context: Context) -> Interval:
    """The interval that the page begins with."""
    intervals = context.runtime.settings.intervals
    return Interval.DAY if Interval.DAY in intervals else intervals[0]


def _page(request: Request, context: Context) -> TaggedReply:
    """The page in the language of the request."""
    assets, root = _assets(), escape(request.scope.get("root_path", ""))
    folder, language = f"{root}/page/{assets.hash}", _language(request)
    pair, interval = context.runtime.settings.allowed_pairs[0], _interval(context)
    modules = (*assets.modules, f"words/{language}.js")
    documentation = _DOCUMENTATION[language].format(root=root) if context.has_docs else ""
    text = assets.template.substitute(
        lang=language,
        root=root,
        assets=folder,
        chart="library" if LIBRARY in assets.files else "picture",
        pair=escape(pair.legacy),
        interval=interval,
        modules="\n".join(f'<link rel="modulepreload" href="{folder}/{name}">' for name in modules),
        noscript=_NO_SCRIPT[language].format(
            root=root,
            pair=escape(pair.symbol),
            picture=f"{root}/{quote(pair.legacy, safe='')}/chart.svg?interval={interval}",
            documentation=documentation,
        ),
    )
    reply = file_reply(text.encode(), "text/html; charset=utf-8")
    headers = [_VARY if name == VARY[0] else (name, value) for name, value in reply.headers]
    return reply._replace(headers=headers)


def _language(request: Request) -> str:
    """The language of the page: the one in its address, else the one that the browser prefers."""
    accepted = preferred_languages(request.headers.getlist("accept-language"))
    tags = [request.query_params.get("lang", "").lower(), *accepted]
    return next((spoken for tag in tags if (spoken := _spoken(tag))), _ENGLISH)


def _spoken(tag: str) -> str | None:
    """The page's language for a tag, Portuguese for any of it; None where it has none."""
    return {"pt": _PORTUGUESE, "en": _ENGLISH}.get(tag.partition("-")[0])


async def _asset(request: Request) -> Response:
    assets = _assets()
    asset = assets.files.get(request.path_params["name"])
    if asset is None:
        raise HTTPException(404)
    codings = ",".join(request.headers.getlist("accept-encoding")).encode("latin-1")
    reply = asset.packed if accepts_gzip(codings) else asset.plain
    response = conditional_response(reply, request.headers.get("if-none-match"))
    # Under another hash, a deployment is under way: a page of the other version asks. What it gets
    # is not kept.
    if request.path_params["hash"] == assets.hash:
        response.headers["cache-control"] = _KEPT
    return response


ROUTES: Final = (Route("/page/{hash}/{name:path}", _asset),)
