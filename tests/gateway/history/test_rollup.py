"""Hours counted beforehand give what the samples give, whatever was written late, again or in which order."""

from __future__ import annotations

import sqlite3
from math import fsum
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.quality import GOOD
from gateway.history.base import Row
from gateway.history.embedded import EmbeddedHistory
from gateway.history.rollup import HOUR_MS

TURN_MS = 1_764_547_200_000
"""2025-12-01: hours before and after it lie in two files."""
START_MS = TURN_MS - 30 * HOUR_MS
SPAN_MS = 60 * HOUR_MS
SLOT_MS = 15 * 60_000
"""Few times, so that many a row is written again, before and after its hour was counted."""
_AT = st.integers(0, SPAN_MS // SLOT_MS - 1).map(lambda slot: START_MS + slot * SLOT_MS)
_VALUES = st.one_of(st.floats(-1e6, 1e6), st.booleans(), st.none())
_WRITE = st.tuples(st.just("write"), st.lists(st.tuples(_AT, _VALUES), min_size=5, max_size=30))
_SETTLE = st.tuples(st.just("settle"), st.sampled_from([START_MS + SPAN_MS // 2 + 1, START_MS + SPAN_MS]))


def _row(at_ms: int, value: float | bool | None) -> Row:
    return Row("s", "d", "p", at_ms, value, GOOD if value is not None else "bad:sensor")


async def _settle(history: EmbeddedHistory, before_ms: int) -> None:
    while await history.settle(before_ms):
        pass


@settings(max_examples=40, deadline=None)
@given(
    steps=st.tuples(_WRITE, _SETTLE, _WRITE, _SETTLE, _WRITE, st.one_of(_WRITE, _SETTLE)),
    hours=st.sampled_from([1, 2, 12, 24]),
    ends=st.one_of(st.tuples(_AT, _AT), st.just((START_MS, START_MS + SPAN_MS))),
)
async def test_a_read_gives_what_the_samples_give_when_hours_were_counted(
    steps: tuple[tuple[str, object], ...], hours: int, ends: tuple[int, int]
) -> None:
    """Minimum, maximum and count exactly, the mean within 1e-9, for any range, also over the turn of a month."""
    step = hours * HOUR_MS
    kept: dict[int, float | bool | None] = {}
    with TemporaryDirectory(prefix="weizhan-rollup-") as folder:
        async with EmbeddedHistory(Path(folder)) as history:
            for what, value in steps:
                if what == "write":
                    assert isinstance(value, list)
                    await history.write([_row(at, number) for at, number in value], lambda *_: None)
                    kept.update(value)
                else:
                    assert isinstance(value, int)
                    await _settle(history, value)
            from_ms, to_ms = min(ends), max(ends) + 1
            async with EmbeddedHistory(Path(folder), read_only=True) as reader:
                found = await reader.read("s", "d/p", from_ms, to_ms, step)
    wanted: dict[int, list[float]] = {}
    for at, number in kept.items():
        if from_ms <= at < to_ms and type(number) is float:
            wanted.setdefault(at // step * step, []).append(number)
    assert [(b.start_ms, b.min, b.max, b.count) for b in found] == [
        (start, min(of), max(of), len(of)) for start, of in sorted(wanted.items())
    ]
    for bucket, (_, of) in zip(found, sorted(wanted.items()), strict=True):
        assert bucket.mean == pytest.approx(fsum(of) / len(of), rel=1e-9, abs=1e-9)


async def test_a_file_of_before_is_counted_when_it_has_no_hours_yet(tmp_path: Path) -> None:
    """Files that were written without hours are read as ever, then counted a point at a time."""
    async with EmbeddedHistory(tmp_path) as history:
        await history.write([_row(TURN_MS + n * 60_000, float(n)) for n in range(600)], lambda *_: None)
    with sqlite3.connect(tmp_path / "2025-12.sqlite") as db:
        db.executescript("DROP TABLE hour; DROP TABLE dirty;")
    db.close()
    async with EmbeddedHistory(tmp_path, read_only=True) as reader:
        before = await reader.read("s", "d/p", TURN_MS, TURN_MS + SPAN_MS, 2 * HOUR_MS)
    async with EmbeddedHistory(tmp_path) as history:
        assert await history.read("s", "d/p", TURN_MS, TURN_MS + SPAN_MS, 2 * HOUR_MS) == before
        await _settle(history, TURN_MS + 5 * HOUR_MS)
        assert await history.read("s", "d/p", TURN_MS, TURN_MS + SPAN_MS, 2 * HOUR_MS) == before
    with sqlite3.connect(tmp_path / "2025-12.sqlite") as db:
        counted = db.execute("SELECT count(*), sum(count) FROM hour").fetchone()
        left = [row[0] for row in db.execute("SELECT start_ms FROM dirty ORDER BY start_ms")]
    db.close()
    assert counted == (5, 300)
    assert left == [TURN_MS + n * HOUR_MS for n in range(5, 10)]


async def test_a_settled_month_is_left_alone_until_written_again(tmp_path: Path) -> None:
    """Nothing is opened for nothing; a late row is counted like any other."""
    async with EmbeddedHistory(tmp_path) as history:
        await history.write([_row(TURN_MS, 1.0)], lambda *_: None)
        await _settle(history, TURN_MS + HOUR_MS)
        assert history._settled == {"2025-12"}
        await history.write([_row(TURN_MS + 1, 3.0)], lambda *_: None)
        assert history._settled == set()
        await _settle(history, TURN_MS + HOUR_MS)
        (bucket,) = await history.read("s", "d/p", TURN_MS, TURN_MS + HOUR_MS, HOUR_MS)
    assert (bucket.min, bucket.mean, bucket.max, bucket.count) == (1.0, 2.0, 3.0, 2)
