"""The outbox file: durable, exact about what is gone, sound after damage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import RetryLater
from contract.messages import Gap, Lane, Reading
from edge_agents.outbox import Outbox
from edge_agents.outbox_file import WINDOW_ROWS, OutboxFile
from edge_agents.outbox_row import MAX_GAPS, Loss, Row, merge_gaps
from edge_agents.settings import OutboxSettings

T0 = 1_800_000_000_000


def readings(count: int, start: int = 0, size: int = 40) -> list[Reading]:
    """Readings of distinct points and times."""
    return [Reading(f"d{n:05d}/{'p' * (size - 30)}", T0 + n, float(n)) for n in range(start, start + count)]


def new_file(folder: Path) -> OutboxFile:
    """An open outbox file with a clock that stands still."""
    file = OutboxFile(folder / "outbox.db", lambda: T0)
    file.open()
    return file


def all_rows(file: OutboxFile, lane: Lane) -> list[Row]:
    """Every row of a lane."""
    rows: list[Row] = []
    while part := file.peek(lane, rows[-1].seq if rows else 0, WINDOW_ROWS):
        rows += part
    return rows


def content(rows: list[Row]) -> list[Reading]:
    """The readings of rows, in order."""
    return [reading for row in rows for reading in msgspec.json.decode(row.body, type=list[Reading])]


def test_readings_come_back_in_order_when_the_file_is_reopened(tmp_path: Path) -> None:
    """Seq runs from 1 in each lane, the epoch stays, the kept state with it."""
    file = new_file(tmp_path)
    file.append([("alarm", readings(3), {"k": b"v"}, None), ("telemetry", readings(500), {}, None)], 4096)
    epoch = file.epoch
    file.close()
    file = new_file(tmp_path)
    rows = all_rows(file, "telemetry")
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert content(rows) == readings(500)
    assert all(len(row.body) <= 4096 for row in rows)
    assert content(all_rows(file, "alarm")) == readings(3)
    assert (file.epoch, file.kept()) == (epoch, {"k": b"v"})
    file.close()


def test_seq_goes_on_when_everything_was_acknowledged(tmp_path: Path) -> None:
    """An empty outbox does not begin again at 1."""
    file = new_file(tmp_path)
    file.append([("alarm", readings(1), {}, None)], 4096)
    assert file.acknowledge("alarm", 1) == 1
    file.close()
    file = new_file(tmp_path)
    file.append([("alarm", readings(1), {}, None)], 4096)
    assert [row.seq for row in file.peek("alarm", 0, 9)] == [2]
    assert file.held("alarm")[:3] == (1, 2, 2)
    file.close()


@settings(deadline=None, max_examples=12)
@given(
    st.lists(st.integers(1, 120), min_size=40, max_size=90),
    st.integers(0, 40),
    st.lists(st.integers(20_000, 200_000), min_size=1, max_size=4),
)
def test_gaps_are_exact_when_telemetry_is_thinned(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], acknowledged: int, budgets: list[int]
) -> None:
    """Whatever is thinned: kept + given up = produced, every seq is covered once, alarms and the window stay."""
    file = new_file(tmp_path_factory.mktemp("outbox"))
    file.append([("alarm", readings(100), {}, None)], 4096)
    made = 0
    for number, size in enumerate(sizes):
        file.append([("telemetry", readings(size, made), {}, None)], 64 * 1024)
        made += size
        if number == len(sizes) // 2:
            while file.thin(budgets[0], 0, slice_rows=7):
                pass
    head = [row.seq for row in all_rows(file, "telemetry")][:WINDOW_ROWS]
    for budget in budgets:
        while file.thin(budget, 0, slice_rows=5):
            pass
    rows = all_rows(file, "telemetry")
    assert [row.seq for row in rows][:WINDOW_ROWS] == head
    gaps = [gap for row in rows for gap in row.gap_list()]
    assert sum(row.readings for row in rows) + sum(gap.readings for gap in gaps) == made
    covered = [seq for row in rows for seq in range(row.first_seq, row.seq + 1)]
    assert covered == list(range(1, len(sizes) + 1))
    kept = {reading.observed_ms for reading in content(rows)}
    missing = [n for n in range(made) if T0 + n not in kept]
    assert len(missing) == sum(gap.readings for gap in gaps)
    for n in missing:
        assert any(gap.first_ms <= T0 + n <= gap.last_ms for gap in gaps)
    assert content(all_rows(file, "alarm")) == readings(100)
    file.acknowledge("telemetry", acknowledged)
    assert file.held("telemetry").rows == len(all_rows(file, "telemetry"))
    file.close()


def test_old_telemetry_is_given_up_when_past_its_age(tmp_path: Path) -> None:
    """Age alone thins, and the gap says so."""
    file = new_file(tmp_path)
    for n in range(100):
        file.append([("telemetry", readings(1, n), {}, None)], 4096)
    assert file.thin(2**40, T0 + 90) == 90 - WINDOW_ROWS
    (gap,) = [gap for row in all_rows(file, "telemetry") for gap in row.gap_list()]
    assert gap == Gap(90, 90 - WINDOW_ROWS, T0 + WINDOW_ROWS, T0 + 89, "age")
    file.close()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.sampled_from(["age", "budget", "damaged"])), max_size=600))
def test_merged_gaps_keep_the_count_and_fit_a_message(drawn: list[tuple[int, str]]) -> None:
    """Merging adds up and stays within the contract's bounds."""
    gaps = merge_gaps([Gap(n + 1, count, T0 + n, T0 + n, reason) for n, (count, reason) in enumerate(drawn)])
    assert sum(gap.readings for gap in gaps) == sum(count for count, _ in drawn)
    assert all(gap.readings <= 10**6 for gap in gaps)
    assert len(gaps) <= MAX_GAPS + 2


def test_a_refused_batch_is_kept_and_becomes_a_gap(tmp_path: Path) -> None:
    """The lane goes on with the batch's count in its place; its content stays for inspection."""
    file = new_file(tmp_path)
    file.append([("alarm", readings(5), {}, None)], 4096)
    body = file.peek("alarm", 0, 1)[0].body
    assert file.set_aside("alarm", 1, "refused")
    (row,) = file.peek("alarm", 0, 9)
    assert (row.seq, row.readings, row.body) == (1, 0, b"[]")
    assert row.gap_list() == [Gap(1, 5, T0, T0 + 4, "refused")]
    assert file.db.execute("SELECT lane, seq, reason, body FROM refused").fetchall() == [("alarm", 1, "refused", body)]
    file.close()


def test_a_damaged_row_becomes_a_gap_when_read(tmp_path: Path) -> None:
    """A flipped bit that SQLite does not notice is found by the row's own checksum, counted, and sent as a gap."""
    file = new_file(tmp_path)
    for n in range(3):
        file.append([("alarm", readings(4, 4 * n), {}, None)], 4096)
    file.db.execute("UPDATE batch SET body=replace(body, '4.0', '9.0') WHERE seq=2")
    rows = file.peek("alarm", 0, 9)
    assert [(row.seq, row.readings) for row in rows] == [(1, 4), (2, 0), (3, 4)]
    assert rows[1].gap_list() == [Gap(2, 4, T0 + 4, T0 + 7, "damaged")]
    assert file.damaged_rows == 1
    file.close()


def test_a_vanished_row_is_named_by_the_next(tmp_path: Path) -> None:
    """A hole would stop the lane; the following row covers it and says that the count is not known."""
    file = new_file(tmp_path)
    for n in range(4):
        file.append([("alarm", readings(1, n), {}, None)], 4096)
    file.db.execute("DELETE FROM batch WHERE seq IN (2, 3)")
    rows = file.peek("alarm", 0, 9)
    assert [(row.first_seq, row.seq) for row in rows] == [(1, 1), (2, 4)]
    assert [gap.reason for gap in rows[1].gap_list()] == ["damaged_unknown"]
    file.close()


def test_any_flipped_bit_is_found_or_harmless(tmp_path: Path) -> None:
    """Single bits flipped all over the file: no reading that was not appended ever comes out."""
    file = new_file(tmp_path)
    for n in range(30):
        file.append([("alarm", readings(20, 20 * n), {}, None)], 4096)
    file.close()
    image = (tmp_path / "outbox.db").read_bytes()
    truth = set(map(repr, readings(600)))
    rng = random.Random(7)
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        spoiled = bytearray(image)
        spoiled[rng.randrange(len(image))] ^= 1 << rng.randrange(8)
        (folder / "outbox.db").write_bytes(spoiled)
        try:
            file = new_file(folder)
            rows = all_rows(file, "alarm")
            assert {repr(reading) for reading in content(rows)} <= truth
        except sqlite3.DatabaseError:
            pass  # noticed by SQLite
        finally:
            file.close()


def test_a_copy_from_the_past_goes_on_under_a_new_epoch(tmp_path: Path) -> None:
    """Everything held gets new names, so that it is not taken for what the gateway has."""
    file = new_file(tmp_path)
    file.append([("alarm", readings(1, n), {}, None) for n in range(5)], 4096)
    file.acknowledge("alarm", 3)
    old = file.epoch
    file.begin_epoch()
    assert file.epoch != old
    assert [(row.seq, row.readings) for row in file.peek("alarm", 0, 9)] == [(1, 1), (2, 1)]
    file.append([("alarm", readings(1, 9), {}, None)], 4096)
    assert content(all_rows(file, "alarm")) == [*readings(2, 3), *readings(1, 9)]
    file.close()


async def test_appends_share_commits_when_many_wait(tmp_path: Path) -> None:
    """A hundred appends at once are all there, in order, after far fewer transactions."""
    async with Outbox(tmp_path, OutboxSettings(), lambda: T0) as outbox:
        await asyncio.gather(*(outbox.append("alarm", readings(1, n), {}) for n in range(100)))
        rows = await outbox.peek("alarm", 0, 200)
        assert content(rows) == readings(100)
        assert outbox.commits <= 5


async def test_an_append_has_no_effect_when_the_disk_takes_nothing(tmp_path: Path) -> None:
    """A full database raises RetryLater, keeps what it had, and takes readings again when there is room."""
    async with Outbox(tmp_path, OutboxSettings(), lambda: T0) as outbox:
        await outbox.append("alarm", readings(1), {})
        await outbox.limit_pages(1)
        with pytest.raises(RetryLater, match="full"):
            await outbox.append("alarm", readings(2000), {"a": b"b"})
        assert len(await outbox.peek("alarm", 0, 9)) == 1
        assert await outbox.kept() == {}
        await outbox.limit_pages(2**30)
        await outbox.append("alarm", readings(1, 1), {}, Loss(7, T0, T0 + 6, "disk"))
        row = (await outbox.peek("alarm", 1, 9))[0]
        assert (row.seq, row.gap_list()) == (2, [Gap(2, 7, T0, T0 + 6, "disk")])


async def test_a_file_that_is_no_database_is_kept_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The damaged file stays beside the new one, the gateway is told, and the log says so once."""
    (tmp_path / "outbox.db").write_bytes(b"this is no database at all, whatever its name says" * 100)
    async with Outbox(tmp_path, OutboxSettings(), lambda: T0) as outbox:
        await outbox.append("alarm", readings(1), {})
        rows = await outbox.peek("alarm", 0, 9)
        assert [[gap.reason for gap in row.gap_list()] for row in rows] == [["damaged_unknown"], []]
    assert [path.name for path in tmp_path.glob("*.damaged-*")] == [f"outbox.db.damaged-{T0}"]
    assert "Kept as outbox.db.damaged-" in caplog.text


async def test_what_is_sound_is_saved_when_the_file_turns_bad_while_running(tmp_path: Path) -> None:
    """A page overwritten under the running agent: sound rows go on under a new epoch, nothing false comes out."""
    async with Outbox(tmp_path, OutboxSettings(batch_bytes=1024), lambda: T0) as outbox:
        await outbox.append("alarm", readings(3000), {"k": b"v"})
        epoch = outbox.epoch
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.seek(30 * 4096)
        file.write(b"\xa5" * 4096)
    async with Outbox(tmp_path, OutboxSettings(), lambda: T0) as outbox:
        got: list[Reading] = []
        after = 0
        for _ in range(400):
            try:
                rows = await outbox.peek("alarm", after, WINDOW_ROWS)
            except RetryLater:
                got, after = [], 0
                continue
            if not rows:
                break
            got += content(rows)
            after = rows[-1].seq
        assert outbox.epoch != epoch or outbox.damaged_rows
        truth = set(map(repr, readings(3000)))
        assert {repr(reading) for reading in got} <= truth
        assert len(got) > 2000
        await outbox.append("alarm", readings(1), {})


WRITER = """
import asyncio, sys
from pathlib import Path
from contract.messages import Reading
from edge_agents.outbox import Outbox
from edge_agents.settings import OutboxSettings

async def main() -> None:
    async with Outbox(Path(sys.argv[1]), OutboxSettings(), lambda: 1_800_000_000_000) as outbox:
        n = int(sys.argv[2])
        while True:
            await outbox.append("alarm", [Reading(f"d/p{n}", 1_800_000_000_000 + n, float(n))], {"n": str(n).encode()})
            print(n, flush=True)
            n += 1

asyncio.run(main())
"""


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    """Four times kill -9: every append that returned is there once, in order, and its state with it."""
    rng, following = random.Random(1), 0
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(following)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = following - 1
            for _ in range(rng.randrange(1, 60)):
                said = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
            rest = process.stdout.read().splitlines()
            said = max([said, *(int(line) for line in rest if line.isdecimal())])
        file = new_file(tmp_path)
        values = [reading.value for reading in content(all_rows(file, "alarm"))]
        assert values == [float(n) for n in range(len(values))]
        assert len(values) >= said + 1
        assert file.kept()["n"] == str(len(values) - 1).encode()
        following = len(values)
        file.close()


@pytest.mark.parametrize("steps", range(1, 12))
def test_the_next_append_is_taken_when_the_one_before_was_stopped_anywhere(tmp_path: Path, steps: int) -> None:
    """A disk that fails while a transaction begins must not leave it open for ever."""
    with closing(OutboxFile(tmp_path / "outbox.db", lambda: T0)) as file:
        file.open()
        left = steps

        def stop() -> int:
            nonlocal left
            left -= 1
            return int(left == 0)

        file.db.set_progress_handler(stop, 1)
        with contextlib.suppress(sqlite3.OperationalError):
            file.append([("alarm", [Reading("d1/p", T0, "fire")], {}, None)], 1024)
        file.db.set_progress_handler(None, 0)
        assert not file.db.in_transaction
        file.append([("alarm", [Reading("d1/p", T0 + 1, "normal")], {}, None)], 1024)
