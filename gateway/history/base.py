"""What every history back end offers, and what a row must be to be kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from contract.messages import Value
from contract.quality import GOOD, is_valid
from contract.topics import is_ident

MAX_BUCKETS = 20_000
"""Most buckets one read may ask for; a screen has fewer pixels."""
MAX_RAW = 200_000
"""Most samples one raw read may ask for; page on from the last time."""
MAX_MS = 32_503_680_000_000
"""The year 3000, as on the wire."""


class Row(NamedTuple):
    """One reading on its way into the history. observed_ms: ms UTC. value None: nothing was measured, see quality."""

    site: str
    device: str
    point: str
    observed_ms: int
    value: Value
    quality: str


class Bucket(NamedTuple):
    """Numbers of one stretch of time that starts at start_ms, a multiple of the bucket's length since the epoch."""

    start_ms: int
    min: float
    mean: float
    max: float
    count: int  # type: ignore[assignment] # the field's own name; nobody counts the members of a bucket


class Sample(NamedTuple):
    """One stored reading."""

    observed_ms: int
    value: Value
    quality: str


class HistoryStatus(NamedTuple):
    """How the store is. detail: for people. bytes, oldest_ms: None where the store does not tell."""

    kind: str
    reachable: bool
    detail: str
    bytes: int | None = None
    oldest_ms: int | None = None
    damaged: tuple[str, ...] = ()


Refused = Callable[[Sequence[Row], str], None]
"""Called with rows the store will never take, and why."""


class History(Protocol):
    """A store of readings. Use it as `async with open_history(...) as history`.

    Opening never needs the store to be there: a store that is away makes `write` and `read` raise RetryLater.
    """

    async def open(self) -> None:
        """Take what is needed on this machine. Raises StartError (a folder that cannot be used), ConfigError (a
        secret's file that cannot be read)."""

    async def close(self) -> None:
        """Give everything back; may be called twice."""

    async def write(self, rows: Sequence[Row], refused: Refused) -> None:
        """Keep the rows; they are durable as far as the store promises when this returns.

        Writing a row again changes nothing, and a row of the same point and time takes the place of the first, so a
        caller that is not sure writes again. Rows the store will never take go to `refused`, the others are kept.

        Raises:
            RetryLater: the store is away, slow or failing. Any part of the rows may be kept; write all of them again.
        """

    async def read(self, site: str, point: str, from_ms: int, to_ms: int, bucket_ms: int) -> list[Bucket]:
        """Minimum, mean and maximum of the numbers of a point (`device/point`) in from_ms <= time < to_ms.

        Buckets start at multiples of bucket_ms since the epoch; the first and last hold only what lies in the range;
        a bucket without numbers is absent. Truths, states and text do not count.

        Raises:
            RetryLater: the store is away. ValueError: bucket_ms below 1, or more than MAX_BUCKETS.
        """
        ...

    async def raw(self, site: str, point: str, from_ms: int, to_ms: int, limit: int) -> list[Sample]:
        """The first `limit` samples of a point (`device/point`) in from_ms <= time < to_ms, in order of time.

        Raises:
            RetryLater: the store is away. ValueError: limit is not 1..MAX_RAW.
        """
        ...

    async def settle(self, before_ms: int) -> bool:  # noqa: ARG002 # for stores that have something to do
        """Do a part of what makes reading fast, for what lies before before_ms. Returns whether more is to do.

        Changes nothing of what `read` gives. A store that does so by itself has nothing to do.

        Raises:
            RetryLater: the store is away.
        """
        return False

    async def prune(self, before_ms: int) -> int:
        """Give up what is older than before_ms, as coarsely as the store does it. Returns the stretches dropped."""
        ...

    async def status(self) -> HistoryStatus:
        """How the store is. Raises nothing for a store that is away: that is what it tells."""
        ...

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


@lru_cache(maxsize=32_768)
def _named_well(site: str, device: str, point: str) -> bool:
    return is_ident(site) and is_ident(device) and is_ident(point)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def fault_of(row: Row) -> str | None:
    """Why no back end takes the row; None when it is fine. The same answer whichever store is configured."""
    if isinstance(row.value, float) and not math.isfinite(row.value):
        return f"value: got {row.value}, want a finite number"
    if isinstance(row.value, str) and not row.value.isascii() and not _is_unicode(row.value):
        return "value: got half a surrogate pair, want Unicode text"
    if row.quality != GOOD and not is_valid(row.quality):
        return f"quality: got {row.quality[:60]!r}, want a form of contract.quality"
    if not _named_well(row.site, row.device, row.point):
        return f"name: got {row.site}/{row.device}/{row.point}, want [a-z0-9_-] in each part"
    if not 0 <= row.observed_ms <= MAX_MS:
        return f"observed_ms: got {row.observed_ms}, want 0..{MAX_MS}"
    return None


def sift(rows: Sequence[Row], refused: Refused) -> list[Row]:
    """The rows a store may be given; the others go to `refused`."""
    fine: list[Row] = []
    for row in rows:
        fault = fault_of(row)
        if fault is None:
            fine.append(row)
        else:
            refused([row], fault)
    return fine


def split_point(point: str) -> tuple[str, str] | None:
    """Device and point of `device/point`; None for a text that can name no point, of which nothing is stored."""
    device, slash, name = point.partition("/")
    return (device, name) if slash and is_ident(device) and is_ident(name) else None


def check_read(from_ms: int, to_ms: int, bucket_ms: int) -> None:
    """Raises ValueError for a read that would give too many buckets."""
    if bucket_ms < 1:
        raise ValueError(f"bucket_ms: got {bucket_ms}, want 1 or more.")
    if (to_ms - from_ms) // bucket_ms > MAX_BUCKETS:
        raise ValueError(
            f"bucket_ms: got {(to_ms - from_ms) // bucket_ms} buckets, want at most {MAX_BUCKETS}. Ask for longer ones."
        )


def check_raw(limit: int) -> None:
    """Raises ValueError for a raw read of too many samples."""
    if not 1 <= limit <= MAX_RAW:
        raise ValueError(f"limit: got {limit}, want 1..{MAX_RAW}. Page on from the last time.")
