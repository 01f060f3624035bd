"""GET /: a page for people, which draws what the API serves; for programs, an index of addresses.

The page is `app/api/page/index.html` with what only the server knows put in. All else that it loads
lies beside that file, and is served under one hash of all of it, `/page/HASH/NAME`: so a browser
may keep it for ever, and modules of two versions never meet. Only the chart's library may be
missing there; the page then shows a picture (`/{pair}/chart.svg`).
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
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app import __version__
from app.api.compression import VARY
from app.api.context import Context
from app.api.negotiation import MEDIA_TYPES, prefers_html, require
from app.api.queries import NOTHING
from app.api.reply_headers import POLICY
from app.api.responses import TaggedReply, conditional_response, file_reply, tagged_reply
from app.core.market import Interval
from app.domain import rendering
from app.domain.tables import Format

PAGE_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load and ask: this origin alone, and nothing inline."""

LIBRARY: Final = "library/lightweight-charts.js"

_FOLDER: Final = Path(__file__).parents[1] / "page"
_INDEX: Final = "index.html"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LONGEST: Final = 200
"""Characters of an Accept-Language that are read."""

_NO_SCRIPT: Final = {
    "en": '<p>Without JavaScript there is a picture, and <a href="{pairs}">what is served</a>.</p>'
    '<img src="{picture}" alt="The newest candles and their averages">',
    "pt-BR": '<p>Sem JavaScript há uma imagem, e <a href="{pairs}">o que é servido</a>.</p>'
    '<img src="{picture}&amp;lang=pt-BR" alt="Os candles mais novos e as suas médias">',
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


def has_chart() -> bool:
    """Whether the library that draws the chart is there."""
    return (_FOLDER / LIBRARY).is_file()


async def _root(request: Request) -> Response:
    held = request.headers.get("if-none-match")
    if not prefers_html(request.headers.getlist("accept")):
        require(MEDIA_TYPES[Format.JSON], request)
        NOTHING.read(request.scope["query_string"])
        return conditional_response(_index(request), held)
    response = conditional_response(_page(request), held)
    # A 304 has it, too: a browser may put the headers of a 304 in the place of those that it keeps.
    response.raw_headers.append((POLICY[0], PAGE_POLICY))
    return response


def _index(request: Request) -> TaggedReply:
    """The addresses to begin with."""
    context: Context = request.state.context
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


def _page(request: Request) -> TaggedReply:
    """The page in the language of the request."""
    context: Context = request.state.context
    assets, root = _assets(), escape(request.scope.get("root_path", ""))
    folder, language = f"{root}/page/{assets.hash}", _language(request)
    pair = context.runtime.settings.allowed_pairs[0]
    modules = sorted(name for name in assets.files if name.endswith(".js"))
    picture = f"{root}/{quote(pair.legacy, safe='')}/chart.svg?interval={_interval(context)}"
    text = assets.template.substitute(
        lang=language,
        root=root,
        assets=folder,
        chart="library" if LIBRARY in assets.files else "picture",
        pair=escape(pair.legacy),
        interval=_interval(context),
        modules="\n".join(f'<link rel="modulepreload" href="{folder}/{name}">' for name in modules),
        noscript=_NO_SCRIPT[language].format(picture=picture, pairs=f"{root}/pairs"),
    )
    reply = file_reply(text.encode(), "text/html; charset=utf-8")
    headers = [_VARY if name == VARY[0] else (name, value) for name, value in reply.headers]
    return reply._replace(headers=headers)


_VARY: Final = (VARY[0], VARY[1] + b", Accept-Language")


def _language(request: Request) -> str:
    """The language of the page: the one in its address, else the one that the browser prefers."""
    asked = request.query_params.get("lang")
    if asked is not None:
        return _spoken(asked)
    languages = request.headers.get("accept-language", "")[:_LONGEST].split(",")
    weights = [_weight(each) for each in languages]
    preferred = max(range(len(languages)), key=lambda i: weights[i])
    return _spoken(languages[preferred])


def _spoken(tag: str) -> str:
    """Portuguese for any tag of it, else English."""
    return "pt-BR" if tag.strip().lower().partition("-")[0] == "pt" else "en"


def _weight(language: str) -> float:
    """The weight of an item of Accept-Language (RFC 9110, 12.5.4); 0 for what is none."""
    _, _, parameter = language.replace(" ", "").partition(";q=")
    try:
        return float(parameter or 1)
    except ValueError:
        return 0.0


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
