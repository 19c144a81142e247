"""The ledger's file, its retention and the way from the inbox to the history."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from contract.errors import RetryLater, StartError
from contract.messages import Reading
from gateway.ledger.mirror_source import InboxSource
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE, Store
from gateway.ledger.upgrade import VERSION
from gateway.retention import Retention
from tests.gateway.harness import FIRE, PRESSURE, START_MS, Clock, arrival, batch, open_bench, state, until

HOUR_MS = 3_600_000


async def test_store_refuses_when_the_ledger_is_newer_than_the_program(tmp_path: Path) -> None:
    """A newer ledger is not touched."""
    async with Store(tmp_path) as store:
        await store.run(lambda c: c.execute("UPDATE meta SET value = '99' WHERE key = 'schema'"))
    with pytest.raises(StartError) as refused:
        async with Store(tmp_path):
            pass
    assert str(refused.value) == f"{tmp_path / FILE}: got ledger version 99, want {VERSION}. Update this program."


async def test_store_refuses_when_the_file_is_no_database(tmp_path: Path) -> None:
    """A damaged file is put aside by people, never by the program."""
    (tmp_path / FILE).write_bytes(b"no database at all, whatever it is called" * 100)
    with pytest.raises(StartError, match=r"file is not a database\. Put the file aside"):
        async with Store(tmp_path):
            pass
    assert (tmp_path / FILE).read_bytes().startswith(b"no database")


async def test_folder_is_free_again_when_the_store_was_closed(tmp_path: Path) -> None:
    """The lock goes with its holder; nothing of it has to be cleaned up."""
    for _ in range(2):
        async with Store(tmp_path):
            with pytest.raises(StartError, match="got a gateway that runs there already"):
                async with Store(tmp_path):
                    pass


async def test_nothing_is_kept_when_the_work_fails_half_way(tmp_path: Path) -> None:
    """A transaction is whole or not at all."""

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('a', '1')")
        raise ValueError("half way")

    async with Store(tmp_path) as store:
        with pytest.raises(ValueError, match="half way"):
            await store.run(work)
        with pytest.raises(RetryLater, match="no such table"):
            await store.run(lambda connection: connection.execute("SELECT * FROM nowhere"))
        with LedgerReader(store.path) as reader:
            assert reader.meta("a") is None
            assert reader.meta("schema") == str(VERSION)


def test_reader_says_so_when_there_is_no_ledger(tmp_path: Path) -> None:
    """A page can say that the gateway was never started."""
    with LedgerReader(tmp_path / FILE) as reader, pytest.raises(RetryLater, match="Has the gateway been started"):
        reader.open_alarms()


async def test_mirror_gets_every_row_once_when_it_follows_its_cursor(tmp_path: Path) -> None:
    """In commit order, with site and device apart, and going on where it stopped."""
    async with open_bench(tmp_path) as bench:
        for seq in range(1, 6):
            await bench.take(arrival(batch(seq, Reading(PRESSURE, START_MS + seq, float(seq)))))
        async with InboxSource(bench.store, "history", print) as source:
            assert await source.cursor() == 0
            first = await source.pending(0, 2)
            assert [(row_id, [row.value for row in rows]) for row_id, rows in first] == [(1, [1.0]), (2, [2.0])]
            assert first[0][1][0][:4] == ("shuiye", "hydrant-01", "pressure_kpa", START_MS + 1)
            await source.advance(2)
            assert await source.cursor() == 2
            assert [row_id for row_id, _ in await source.pending(2, 10)] == [3, 4, 5]


async def test_damaged_row_is_told_when_the_mirror_reads_it(tmp_path: Path) -> None:
    """Its readings are left out, the rows after it go on."""
    damaged: list[int] = []
    async with open_bench(tmp_path) as bench:
        for seq in (1, 2):
            await bench.take(arrival(batch(seq, Reading(PRESSURE, START_MS + seq, float(seq)))))
        await bench.store.run(lambda c: c.execute("UPDATE inbox SET crc = crc + 1 WHERE id = 1"))
        async with InboxSource(bench.store, "history", damaged.append) as source:
            rows = await source.pending(0, 10)
        assert [(row_id, len(batch_rows)) for row_id, batch_rows in rows] == [(1, 0), (2, 1)]
        assert damaged == [1]


async def test_inbox_is_trimmed_when_rows_are_mirrored_and_old_only(tmp_path: Path) -> None:
    """A row the history lacks stays however old it is; a mirrored one stays its time."""
    clock = Clock()
    async with open_bench(tmp_path, clock, checkpoint_s=0.1) as bench:
        for seq in range(1, 7):
            received_ms = START_MS + seq * HOUR_MS
            await bench.take(arrival(batch(seq, Reading(PRESSURE, received_ms, 1.0)), received_ms))
        await until(lambda: bench.reader.meta("last_value_inbox_id") == "6")
        clock.now_ms = START_MS + 100 * HOUR_MS
        retention = Retention(bench.store, 96 * HOUR_MS, clock.now)
        assert await retention.trim() == 0
        async with InboxSource(bench.store, "history", print) as source:
            await source.advance(5)
            assert await retention.trim() == 3
            assert [row.id for row in bench.reader.inbox()] == [4, 5, 6]
            clock.now_ms += 100 * HOUR_MS
            assert await retention.trim() == 2
            assert [row.id for row in bench.reader.inbox()] == [6]


async def test_agent_is_not_lost_when_it_was_the_gateway_that_was_away(tmp_path: Path) -> None:
    """After a long stop agents get a heartbeat's grace; one that stays silent is lost then."""
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        await bench.take(arrival(state()))
    clock.now_ms += 24 * HOUR_MS
    async with open_bench(tmp_path, clock) as bench:
        await bench.take(arrival(batch(1, Reading(FIRE, clock.now_ms, "normal"), lane="alarm"), clock.now_ms))
        assert [t.event for t in bench.reader.transitions()] == []
        clock.now_ms += HOUR_MS
        await until(lambda: [a.rule for a in bench.reader.open_alarms() if a.rule == "agent-lost"])
        assert [a.online for a in bench.reader.agents()] == [False]
