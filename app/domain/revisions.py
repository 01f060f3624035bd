"""Revisions: one number that names the state of a series' data, everywhere and for ever.

A revision is the unix time of its commit in milliseconds, times 2^20, plus 20 random bits. Where
that would not grow, it is the last revision plus one. So it grows with every change, tells the time
of the change, and differs between databases: a cache that several services share, or that outlives
a restored backup, never mistakes one state for another.
"""

from __future__ import annotations

from typing import Final

SALT_BITS: Final = 20


def next_revision(previous: int, now: float, salt: int) -> int:
    """The revision of a change committed at unix time `now`; `salt` has SALT_BITS random bits."""
    return max(previous + 1, (int(now * 1000) << SALT_BITS) | salt)


def changed_at(revision: int) -> int:
    """The unix time of the revision's commit, in whole seconds; 0 for revision 0."""
    return (revision >> SALT_BITS) // 1000


def earlier(revision: int, seconds: int) -> int:
    """The lowest revision of a commit so many seconds before that of `revision`; 0 at least."""
    return max(0, (revision >> SALT_BITS) - seconds * 1000) << SALT_BITS
