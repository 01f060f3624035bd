"""Single flight: concurrent callers of one key share one run and its outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class SingleFlight:
    """Runs at most one piece of work per key at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, Future[Any]] = {}

    def do(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """The result of `work`, or of the work that is already running for the same key.

        An error is shared as well: all callers that wait for a dead database learn of it at once,
        not one after the other.
        """
        with self._lock:
            shared = self._under_way.get(key)
            if shared is None:
                own = self._under_way[key] = Future[Result]()
        if shared is not None:
            outcome: Result = shared.result()
            return outcome
        # Forget the work before publishing its outcome, so that a later call starts anew.
        try:
            result = work()
        except BaseException as error:
            self._forget(key)
            own.set_exception(error)
            raise
        self._forget(key)
        own.set_result(result)
        return result

    def _forget(self, key: Hashable) -> None:
        with self._lock:
            del self._under_way[key]
