"""How many processes answer."""

from __future__ import annotations

import os

import pytest

from app.core.settings import MOST_WORKERS
from tests.support.api import refused, settings


def test_auto_is_one_for_each_cpu_that_this_process_may_use() -> None:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for written in ("auto", "AUTO"):
        assert settings(workers=written).workers == min(usable or 1, MOST_WORKERS)


def test_a_number_may_be_written_with_blanks() -> None:
    assert [settings(workers=text).workers for text in (" 2 ", "64", 1)] == [2, 64, 1]


@pytest.mark.parametrize("written", ["0", "65", "-1", "1.5", "two", "²", "1" * 5_000])
def test_what_is_no_number_of_workers_is_refused_with_what_is_allowed(written: str) -> None:
    said = refused(workers=written)
    assert said.startswith(f"WORKERS={written}: is neither a whole number from 1 to 64 nor auto")
