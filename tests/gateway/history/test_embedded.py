"""The embedded history: month files, retention, readers in other processes, damage."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.errors import RetryLater, StartError
from gateway.history import open_history
from gateway.history.base import MAX_BUCKETS, Bucket, Row, Sample
from gateway.history.embedded import EmbeddedHistory
from gateway.history.settings import EmbeddedSettings

DAY = 86_400_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def row(observed_ms: int, value: float | bool | str | None, quality: str = "good", point: str = "pressure_kpa") -> Row:
    return Row("shuiye", "hydrant-1", point, observed_ms, value, quality)


def none_refused(rows: Sequence[Row], why: str) -> None:
    raise AssertionError((rows, why))


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[EmbeddedHistory]:
    async with EmbeddedHistory(tmp_path / "history") as opened:
        yield opened


async def test_every_kind_of_value_comes_back_when_it_was_written(history: EmbeddedHistory) -> None:
    """Numbers, truths, states, text and no value keep their type and quality."""
    t = at("2026-11-05T10:00:00")
    values = [0.0, -1.5, True, False, "fire", "", "首次火警 | 裙楼一层 'x' \"y\"\n", None, 1.0, 1e308, 5]
    rows = [row(t + n, value, "good" if n % 2 else "uncertain:stale") for n, value in enumerate(values)]
    await history.write(rows, none_refused)
    got = await history.raw("shuiye", "hydrant-1/pressure_kpa", t, t + DAY, 100)
    assert got == [Sample(r.observed_ms, r.value, r.quality) for r in rows]
    want = [float if type(value) is int else type(value) for value in values]
    assert [type(sample.value) for sample in got] == want


async def test_row_replaces_the_first_when_point_and_time_are_the_same(history: EmbeddedHistory) -> None:
    """Writing again changes nothing; another value for the same instant takes its place, in one write or in two."""
    t = at("2026-11-05T10:00:00")
    await history.write([row(t, 9.0), row(t, 2.0)], none_refused)
    assert await history.raw("shuiye", "hydrant-1/pressure_kpa", t, t + 1, 10) == [Sample(t, 2.0, "good")]
    for _ in range(2):
        await history.write([row(t, None, "unknown:no_answer")], none_refused)
    assert await history.raw("shuiye", "hydrant-1/pressure_kpa", t, t + 1, 10) == [Sample(t, None, "unknown:no_answer")]


async def test_buckets_count_only_numbers_and_skip_empty_stretches(history: EmbeddedHistory) -> None:
    """Truths, text and None do not count; the range cuts the first and last bucket; buckets stand at multiples."""
    t = at("2026-11-05T10:00:00")
    rows = [row(t, 1.0), row(t + 999, 3.0), row(t + 1000, 5.0), row(t + 1500, True), row(t + 1600, "x")]
    rows += [row(t + 1700, None, "bad:missing"), row(t + 5000, -2.0), row(t + 5999, -4.0)]
    await history.write(rows, none_refused)
    got = await history.read("shuiye", "hydrant-1/pressure_kpa", t + 500, t + 5999, 1000)
    assert got == [Bucket(t, 3, 3, 3, 1), Bucket(t + 1000, 5, 5, 5, 1), Bucket(t + 5000, -2, -2, -2, 1)]


async def test_bucket_is_whole_when_it_spans_the_turn_of_a_month(history: EmbeddedHistory) -> None:
    """Months are files, but a week's bucket takes from both."""
    turn = at("2026-12-01T00:00:00")
    await history.write([row(turn - 1, 1.0), row(turn, 2.0), row(turn + 1, 6.0)], none_refused)
    start = turn // (7 * DAY) * 7 * DAY
    got = await history.read("shuiye", "hydrant-1/pressure_kpa", turn - DAY, turn + DAY, 7 * DAY)
    assert got == [Bucket(start, 1, 3, 6, 3)]
    assert sorted(path.name for path in history.folder.glob("*.sqlite")) == ["2026-11.sqlite", "2026-12.sqlite"]


async def test_raw_stops_at_the_limit_and_goes_on_from_there(history: EmbeddedHistory) -> None:
    """Paging over the turn of a month gives each sample once."""
    turn = at("2026-12-01T00:00:00")
    await history.write([row(turn + n, float(n)) for n in range(-5, 5)], none_refused)
    got: list[float] = []
    start = turn - DAY
    while page := await history.raw("shuiye", "hydrant-1/pressure_kpa", start, turn + DAY, 3):
        got += [sample.value for sample in page]
        start = page[-1].observed_ms + 1
    assert got == [float(n) for n in range(-5, 5)]


async def test_whole_months_go_when_they_lie_before_the_limit(history: EmbeddedHistory) -> None:
    """Retention drops files; the month of the limit stays whole; a dropped month can be filled again."""
    months = ["2026-08", "2026-09", "2026-10", "2026-11"]
    await history.write([row(at(f"{month}-15T00:00:00"), 1.0) for month in months], none_refused)
    assert await history.prune(at("2026-10-01T00:00:00")) == 2
    assert sorted(path.name for path in history.folder.iterdir() if path.suffix == ".sqlite") == [
        "2026-10.sqlite",
        "2026-11.sqlite",
    ]
    everything = ("shuiye", "hydrant-1/pressure_kpa", 0, at("2027-01-01T00:00:00"))
    assert len(await history.raw(*everything, 10)) == 2
    await history.write([row(at("2026-08-15T00:00:00"), 1.0)], none_refused)
    assert len(await history.raw(*everything, 10)) == 3


async def test_bad_rows_are_handed_back_and_the_others_kept(history: EmbeddedHistory) -> None:
    """What no store can hold goes to `refused` with the reason; nothing else is lost."""
    t = at("2026-11-05T10:00:00")
    bad = [row(t, float("nan")), row(t, float("-inf")), Row("shuiye", "a b", "x", t, 1.0, "good"), row(-1, 1.0)]
    refused: list[tuple[list[Row], str]] = []
    rows = [bad[0], row(t, 1.0), *bad[1:], row(t + 1, 2.0)]
    await history.write(rows, lambda rows, why: refused.append((list(rows), why)))
    assert [each for rows, _ in refused for each in rows] == bad
    assert refused[0][1] == "value: got nan, want a finite number"
    assert len(await history.raw("shuiye", "hydrant-1/pressure_kpa", 0, t + DAY, 10)) == 2


async def test_another_process_reads_while_the_gateway_writes(history: EmbeddedHistory) -> None:
    """The web process opens the files read-only, sees what is written, and follows dropped months."""
    t = at("2026-11-05T10:00:00")
    point = ("shuiye", "hydrant-1/pressure_kpa", 0, t + DAY)
    async with EmbeddedHistory(history.folder, read_only=True) as reader:
        assert await reader.raw(*point, 10) == []
        await history.write([row(t, 1.0)], none_refused)
        assert await reader.raw(*point, 10) == [Sample(t, 1.0, "good")]
        await history.write([row(t + 1, 2.0)], none_refused)
        assert len(await reader.raw(*point, 10)) == 2
        code = (
            "import asyncio, sys, pathlib\n"
            "from gateway.history.embedded import EmbeddedHistory\n"
            "async def main():\n"
            "    async with EmbeddedHistory(pathlib.Path(sys.argv[1]), read_only=True) as h:\n"
            f"        print(len(await h.raw(*{point!r}, 10)))\n"
            "asyncio.run(main())\n"
        )
        got = subprocess.run([sys.executable, "-c", code, str(history.folder)], capture_output=True, text=True)
        assert (got.stdout, got.stderr) == ("2\n", "")
        await history.prune(at("2026-12-01T00:00:00"))
        assert await reader.raw(*point, 10) == []
        await history.write([row(t + 2, 3.0)], none_refused)
        assert await reader.raw(*point, 10) == [Sample(t + 2, 3.0, "good")]
        with pytest.raises(RetryLater, match="opened for reading only"):
            await reader.write([row(t, 1.0)], none_refused)
        assert await reader.prune(t * 2) == 0


async def test_reader_sees_the_rows_when_the_gateway_is_not_running(tmp_path: Path) -> None:
    """Closed files are read as well; a folder that does not exist yet holds nothing."""
    settings = EmbeddedSettings()
    async with open_history(settings, tmp_path, read_only=True) as reader:
        assert await reader.read("shuiye", "hydrant-1/pressure_kpa", 0, 10, 1) == []
        assert (await reader.status()).detail == "0 months"
    assert list(tmp_path.iterdir()) == []
    async with open_history(settings, tmp_path) as writer:
        await writer.write([row(5, 1.0)], none_refused)
    async with open_history(settings, tmp_path, read_only=True) as reader:
        assert await reader.read("shuiye", "hydrant-1/pressure_kpa", 0, 10, 10) == [Bucket(0, 1, 1, 1, 1)]


async def test_damaged_month_is_set_aside_and_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A month that is no database any more gives way, is kept, is named in the status; the others stay readable."""
    folder = tmp_path / "history"
    t = at("2026-11-05T10:00:00")
    async with EmbeddedHistory(folder) as history:
        await history.write([row(t, 1.0), row(t + 30 * DAY, 2.0)], none_refused)
    (folder / "2026-11.sqlite").write_bytes(b"x" * 8192)
    everything = ("shuiye", "hydrant-1/pressure_kpa", 0, t + 60 * DAY)
    async with EmbeddedHistory(folder) as history:
        with pytest.raises(RetryLater, match="The gateway sets a damaged month aside"):
            await history.write([row(t, 1.0)], none_refused)
        assert await history.raw(*everything, 10) == [Sample(t + 30 * DAY, 2.0, "good")]
        await history.write([row(t, 1.0)], none_refused)
        assert len(await history.raw(*everything, 10)) == 2
        assert (await history.status()).damaged == ("2026-11.damaged-1",)
        assert await history.verify() == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_damage_inside_a_month_is_found_when_it_is_verified(tmp_path: Path) -> None:
    """`verify` reads every page, so damage is found before somebody asks for that day."""
    folder = tmp_path / "history"
    t = at("2026-11-05T10:00:00")
    async with EmbeddedHistory(folder) as history:
        await history.write([row(t + n, float(n)) for n in range(5000)], none_refused)
    with (folder / "2026-11.sqlite").open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 4096)
    async with EmbeddedHistory(folder) as history:
        assert await history.verify() == ["2026-11.sqlite"]
        assert (await history.status()).damaged == ("2026-11.damaged-1",)


async def test_wrong_requests_are_told_apart_from_an_absent_store(history: EmbeddedHistory, tmp_path: Path) -> None:
    """A read of too much is the caller's fault; a closed history is not."""
    with pytest.raises(ValueError, match=f"want at most {MAX_BUCKETS}"):
        await history.read("shuiye", "hydrant-1/pressure_kpa", 0, DAY, 1)
    with pytest.raises(ValueError, match="bucket_ms: got 0"):
        await history.read("shuiye", "hydrant-1/pressure_kpa", 0, 1, 0)
    with pytest.raises(ValueError, match="limit: got 0"):
        await history.raw("shuiye", "hydrant-1/pressure_kpa", 0, 1, 0)
    assert await history.raw("shuiye", "' OR 1=1 --", 0, DAY, 10) == []
    with pytest.raises(RetryLater, match="before open or after close"):
        await EmbeddedHistory(tmp_path).read("shuiye", "hydrant-1/pressure_kpa", 0, 1, 1)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StartError, match="The history needs a folder it can write"):
        await EmbeddedHistory(tmp_path / "file" / "x").open()


async def test_rows_are_on_disk_when_write_returns(tmp_path: Path) -> None:
    """A process killed right after `write` leaves the rows behind, for a reader before the gateway is back as well."""
    code = (
        "import asyncio, os, sys, pathlib\n"
        "from gateway.history.base import Row\n"
        "from gateway.history.embedded import EmbeddedHistory\n"
        "async def main():\n"
        "    async with EmbeddedHistory(pathlib.Path(sys.argv[1])) as h:\n"
        "        await h.write([Row('s', 'd', 'p', n, 1.0, 'good') for n in range(1000)], print)\n"
        "        os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    got = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert got.returncode == -9
    for read_only in (True, False, True):
        async with EmbeddedHistory(tmp_path, read_only=read_only) as history:
            assert len(await history.raw("s", "d/p", 0, 2000, 5000)) == 1000
