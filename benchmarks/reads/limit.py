"""The limit: an ASGI application that sends one ready reply, whatever it is asked.

`LIMIT_REPLY` names a JSON file with the reply's status, headers and body, as the service sent them.
Run it as anyone would: `uvicorn benchmarks.reads.limit:app`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_REPLY = json.loads(Path(os.environ["LIMIT_REPLY"]).read_text())
_START = {
    "type": "http.response.start",
    "status": _REPLY["status"],
    "headers": [(name.encode(), value.encode()) for name, value in _REPLY["headers"]],
}
_BODY = {"type": "http.response.body", "body": _REPLY["body"].encode("latin-1")}


async def app(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """Send the reply."""
    assert scope["type"] == "http"
    await send(_START)
    await send(_BODY)
