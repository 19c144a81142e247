"""What can still be read of a damaged outbox file goes into a new one. Blocking.

The damaged file is kept for inspection, never deleted. What is found sound (each row by its own checksum) is sealed
again under the new file's epoch; that there was damage is told with the alarm lane's next batch, the count of what is
lost being unknown.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from contract.messages import LANES, Lane, Reading
from edge_agents.clock import Stamp
from edge_agents.outbox_file import OutboxFile, read_kept
from edge_agents.outbox_row import Loss, Row, is_sound, row_of

log = logging.getLogger(__name__)
MAX_MISSES = 1000
"""Seqs in a row that cannot be read before a lane counts as at its end."""
_readings = msgspec.json.Decoder(list[Reading])


def replace_damaged(path: Path, new_file: Callable[[], OutboxFile], now_ms: int, limit: int) -> OutboxFile:
    """Set a damaged file aside and open a new one with what could be saved. Raises sqlite3.Error when that fails too.

    Args:
        path: the damaged file, closed.
        new_file: makes the (unopened) file object for `path`.
        now_ms: wall time, for the name of the one set aside.
        limit: bytes of one batch's readings.
    """
    aside = path.with_name(f"{path.name}.damaged-{now_ms}")
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    file = new_file()
    file.open()
    saved = 0
    try:
        with closing(sqlite3.connect(f"file:{aside}?mode=ro", uri=True, isolation_level=None)) as old:
            for lane in LANES:
                for row in _sound_rows(old, lane):
                    gaps = row.gap_list()
                    loss = None
                    if gaps:
                        loss = Loss(
                            sum(gap.readings for gap in gaps), gaps[0].first_ms, gaps[-1].last_ms, gaps[0].reason
                        )
                    file.append([(lane, _readings.decode(row.body), {}, loss)], limit, Stamp(row.boot, row.shift_ms))
                    saved += row.readings
            keep = _kept(old)
    except sqlite3.Error as exc:
        keep = {}
        log.debug("salvage: %s", exc)
    file.append([("alarm", [], keep, Loss(0, now_ms, now_ms, "damaged_unknown"))], limit)
    log.warning("%s: damaged. Kept as %s; %d readings saved into a new outbox.", path, aside.name, saved)
    return file


def _sound_rows(old: sqlite3.Connection, lane: Lane) -> Iterator[Row]:
    seq = misses = 0
    while misses < MAX_MISSES:
        try:
            entry = old.execute(
                "SELECT * FROM batch WHERE lane=? AND seq>? ORDER BY seq LIMIT 1", (lane, seq)
            ).fetchone()
        except sqlite3.Error:
            seq, misses = seq + 1, misses + 1
            continue
        if entry is None or not isinstance(entry[1], int):
            return
        seq, misses = max(seq + 1, entry[1]), 0
        if is_sound(entry):
            yield row_of(entry)


def _kept(old: sqlite3.Connection) -> dict[str, bytes]:
    try:
        return read_kept(old)
    except sqlite3.Error:
        return {}
