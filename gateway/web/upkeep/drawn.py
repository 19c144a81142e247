"""Small charts drawn on the server: figures of a line over time, gaps as gaps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from gateway.history.base import Bucket

WIDTH, HEIGHT = 600, 90
"""Of a drawing, in its own units."""


class Curve(NamedTuple):
    """One figure over time. parts: `points` of one polyline each; top: value at the upper edge; last: the latest."""

    name: str
    unit: str
    parts: list[str]
    dots: list[tuple[float, float]]
    """Values that stand alone."""
    top: float
    last: float | None
    worst: float | None


def draw(
    name: str, unit: str, values: Sequence[tuple[int, float]], span: tuple[int, int], step_ms: int, least_top: float
) -> Curve:
    """A curve of (time ms, value); a pause of more than three steps is a gap.

    Args:
        span: from_ms, until_ms of the drawing. least_top: the upper edge shows at least this much.
    """
    from_ms, until_ms = span
    top = max([least_top, *(value for _, value in values)])
    runs: list[list[tuple[float, float]]] = []
    before: int | None = None
    for at_ms, value in values:
        x = round(WIDTH * (at_ms - from_ms) / max(1, until_ms - from_ms), 1)
        y = round(HEIGHT * (1 - value / top), 1)
        if before is None or at_ms - before > 3 * step_ms:
            runs.append([])
        runs[-1].append((x, y))
        before = at_ms
    return Curve(
        name, unit,
        [" ".join(f"{x},{y}" for x, y in run) for run in runs if len(run) > 1],
        [run[0] for run in runs if len(run) == 1],
        top, values[-1][1] if values else None, max((value for _, value in values), default=None),
    )  # fmt: skip


def means(buckets: Sequence[Bucket]) -> list[tuple[int, float]]:
    """The mean of each bucket."""
    return [(bucket.start_ms, bucket.mean) for bucket in buckets]


def rises(counts: Sequence[Sequence[Bucket]], step_ms: int) -> list[tuple[int, float]]:
    """How much several counters rose together, an hour, from bucket to bucket; one that began anew counts from 0."""
    per_bucket: dict[int, float] = {}
    for buckets in counts:
        for before, bucket in pairwise(buckets):
            risen = bucket.max - before.max if bucket.max >= before.max else bucket.max
            hours = max(step_ms, bucket.start_ms - before.start_ms) / 3_600_000
            per_bucket[bucket.start_ms] = per_bucket.get(bucket.start_ms, 0.0) + risen / hours
    return sorted(per_bucket.items())


def highest(series: Sequence[Sequence[Bucket]]) -> list[tuple[int, float]]:
    """The highest mean of several points in each bucket."""
    found: dict[int, float] = {}
    for buckets in series:
        for bucket in buckets:
            found[bucket.start_ms] = max(bucket.mean, found.get(bucket.start_ms, 0.0))
    return sorted(found.items())
