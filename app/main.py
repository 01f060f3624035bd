"""The application object: `uvicorn app.main:app`. Importing this makes it and opens nothing."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import Any, Final

from fastapi import FastAPI

from app import __version__, bootstrap
from app.api.admission import Admission
from app.api.compression import Compression
from app.api.context import Context
from app.api.document import TAGS, document
from app.api.documented import wrong_method
from app.api.edge import Edge
from app.api.errors import handle_errors
from app.api.fast_path import FastPath
from app.api.middleware import HeadAsGet, RootPath
from app.api.routes import (
    anomalies,
    averages,
    chart,
    docs,
    gaps,
    health,
    latest,
    page,
    pairs,
    prices,
    records,
    stream,
)
from app.bootstrap import Runtime
from app.core.logging import configure, flush, structlog
from app.core.settings import Settings, load_settings

log = structlog.get_logger()

_ABOUT: Final = (
    "Exact simple moving averages over 20, 50 and 200 candles of crypto pairs. Times are UTC; "
    "prices are decimal numbers with up to 8 places. Errors are `application/problem+json`; each "
    "reply carries an `X-Request-ID`."
)

_UNLIMITED: Final = (
    "uvicorn alone limits neither heads, bodies and connections nor slow clients, and loses requests "
    "at a stop: start the API with mms serve or python -m app.serve"
)


def create_app(
    settings: Settings | None = None,
    build: Callable[[Settings], Runtime] = bootstrap.for_api,
    *,
    draining: threading.Event | None = None,
) -> Edge:
    """Make the application; settings, database and everything else open in its lifespan.

    Without `settings` it reads them at its start and configures the log by them. A caller that
    passes `settings` has configured the log. While `draining` is set, /readyz answers 503.
    """
    leaving = draining or threading.Event()

    @asynccontextmanager
    async def lifespan(_api: FastAPI) -> AsyncIterator[dict[str, Any]]:
        chosen = settings
        if chosen is None:
            chosen = load_settings()
            configure(chosen.log_level, chosen.log_format, secrets=chosen.secrets())
            bootstrap.announce_database(chosen)
            log.warning("protocol_limits_missing", problem=_UNLIMITED)
        runtime = build(chosen)
        try:
            # A server that says when it drains ends its streams; uvicorn alone would wait for them.
            context = Context.of(runtime, leaving, streams=draining is not None)
            api.openapi_schema = None
            # FastAPI's own way to extend the document.
            api.openapi = partial(document, api, context)  # type: ignore[method-assign]
            warm = runtime.warm
            with closing(context.checks), closing(context.streams):
                yield {
                    "context": context,
                    "admission": Admission(
                        chosen,
                        runtime.rate,
                        runtime.rate_collect,
                        runtime.clock,
                        context.headers,
                    ),
                    "fast_path": None if warm is None else FastPath(context, warm),
                }
        finally:
            leaving.set()
            runtime.close()
            flush()

    api = FastAPI(
        # The pages of FastAPI load scripts from a CDN and start them inline; these do neither.
        openapi_url=None,
        routes=[*page.ROUTES, *docs.ROUTES],
        title="MMS API",
        version=__version__,
        description=_ABOUT,
        openapi_tags=TAGS,
        lifespan=lifespan,
        responses=wrong_method(),
        # A redirect repeats the query undecoded, and fails on bytes that are not UTF-8.
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    handle_errors(api)
    # Prices come first: their paths must not be read as those of a pair.
    modules = (
        page,
        prices,
        stream,
        averages,
        latest,
        chart,
        anomalies,
        gaps,
        records,
        pairs,
        health,
    )
    for module in modules:
        api.include_router(module.router)
    # The last one added is the outermost.
    api.add_middleware(RootPath)
    api.add_middleware(Compression)
    api.add_middleware(HeadAsGet)
    return Edge(api, plain=settings is None)


app = create_app()
