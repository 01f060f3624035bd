"""What a ring of memcached nodes keeps of its hits when one of them dies.

Entries are stored, one node is killed, and each entry is read: first once, then again and again while
misses are stored anew, as the application does. Each node of a ring is killed in turn. A ring whose
entries stay where they are as long as their node lives keeps, on the average over its nodes, exactly
(n - 1)/n at the first look, and everything from the second on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from app.db.cache.memcached import MemcachedRing
from tests.support.memcached import Memcached, several

SIZES: Final = (2, 3, 4)
ENTRIES: Final = 2_000
LOOKS: Final = 10
"""How often each entry is read after the death of a node."""


@dataclass(frozen=True)
class Share:
    """What a ring of `nodes` kept: `first` and `all_looks` hold one share for each node that died.

    `strangers` counts entries that were lost although their node lives, or came back wrong.
    """

    nodes: int
    first: tuple[Fraction, ...]
    all_looks: tuple[Fraction, ...]
    strangers: int

    @property
    def promised(self) -> Fraction:
        """(n - 1)/n."""
        return Fraction(self.nodes - 1, self.nodes)

    @property
    def kept(self) -> bool:
        """Whether the ring kept what is promised."""
        return (
            not self.strangers
            and mean(self.first) >= self.promised
            and min(self.all_looks) >= self.promised
        )


def measure(program: Path, sizes: Sequence[int] = SIZES, entries: int = ENTRIES) -> list[Share]:
    """Kill each node of rings of these sizes, one after the other."""
    found = []
    for size in sizes:
        with several(program, size) as nodes:
            losses = [_without(nodes, dead, entries) for dead in nodes]
        first, looks, strangers = zip(*losses, strict=True)
        found.append(Share(size, first, looks, sum(strangers)))
    return found


def _without(
    nodes: Sequence[Memcached], dead: Memcached, entries: int
) -> tuple[Fraction, Fraction, int]:
    """The share of hits at the first look and over all looks, and the entries lost without a reason."""
    values = {
        f"mms:1:BTC-BRL:1d:20:{number}:2": f"value {number}".encode() for number in range(entries)
    }
    # Nobody asks whether the dead node is back: it is, in the next round.
    ring = MemcachedRing([n.address for n in nodes], 60, wait=lambda event, _: event.wait())
    with closing(ring):
        for node in nodes:
            node.flush()
        for key, value in values.items():
            ring.set(key, value)
        before = _hits(ring, values)
        gone = set(dead.held())
        dead.kill()
        hits = []
        for _ in range(LOOKS):
            found = _hits(ring, values)
            hits.append(len(found))
            if len(hits) == 1:
                strangers = len(before - gone - found) + entries - len(before)
            for key in values.keys() - found:
                ring.set(key, values[key])
    dead.start()
    return Fraction(hits[0], len(before)), Fraction(sum(hits), LOOKS * len(before)), strangers


def _hits(ring: MemcachedRing, values: dict[str, bytes]) -> set[str]:
    return {key for key, value in values.items() if ring.get(key) == value}


def mean(shares: Sequence[Fraction]) -> Fraction:
    """The exact mean."""
    return sum(shares, Fraction(0)) / len(shares)


def table(shares: Sequence[Share]) -> str:
    """The shares as a Markdown table."""
    head = "| nodes | promised | kept at the first look: mean (least, most) | kept over ten looks: least |"
    lines = [head, "|---:|---:|---:|---:|"]
    for share in shares:
        first = f"{_percent(mean(share.first))} ({_percent(min(share.first))}, {_percent(max(share.first))})"
        lines.append(
            f"| {share.nodes} | {_percent(share.promised)} | {first} | {_percent(min(share.all_looks))} |"
        )
        if share.strangers:
            lines.append(
                f"{share.nodes} nodes: {share.strangers} entries of living nodes were lost"
            )
    return "\n".join(lines)


def _percent(share: Fraction) -> str:
    return f"{float(share):.2%}"
