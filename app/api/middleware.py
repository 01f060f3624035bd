"""Layers around the routes, as plain ASGI: each is one call, without a task or a copy."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RootPath:
    """Serves every address under ROOT_PATH, whether the proxy in front removes that path or not.

    As ASGI has it, `path` begins with `root_path`; the router and all that names an address go by
    that.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope["state"]["context"].root_path if scope["type"] == "http" else ""
        if root:
            path = scope["path"]
            if not f"{path}/".startswith(f"{root}/"):
                path = root + path
            elif path == root:
                path = f"{root}/"
            scope = {**scope, "path": path, "root_path": root}
        await self._app(scope, receive, send)


class HeadAsGet:
    """Answers HEAD wherever GET is answered, with the same headers and no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A copy: the server must go on seeing HEAD.
        await self._app({**scope, "method": "GET", "is_head": True}, receive, bodiless)
