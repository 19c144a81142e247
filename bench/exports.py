"""`python -m bench exports`: rows a second and memory of an export as each kind of file."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.exports.document import Column, Document, Spool, Table, lines
from gateway.exports.pdf_file import MOST_PDF_ROWS

NOW = 1_763_776_800_000
COLUMNS = (Column("时间", "time"), Column("报警"), Column("地点"), Column("数值", "number"), Column("处理"))


def campaign(rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure: canonical lines, then each kind of file in a process of its own, as the pages make it."""
    found: dict[str, Any] = {"rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "content.jsonl")
        begin = time.perf_counter()
        with spool.path.open("wb") as file:
            file.writelines(lines(_document(rows)))
        found["lines"] = _figures(rows, time.perf_counter() - begin, spool.path.stat().st_size, None)
        for kind in ("csv", "xlsx", "pdf"):
            say(f"{kind} of {rows if kind != 'pdf' else min(rows, MOST_PDF_ROWS):,} rows")
            count = rows
            if kind == "pdf" and rows > MOST_PDF_ROWS:
                count = MOST_PDF_ROWS
                with spool.path.open("wb") as file:
                    file.writelines(lines(_document(count)))
            found[kind] = _written(spool, Path(folder) / f"x.{kind}", count)
    return found


def table(found: dict[str, Any]) -> str:
    """For people, in Markdown."""
    rows = ["| | rows | rows/s | s | MiB of file | peak MiB |", "|---|---|---|---|---|---|"]
    for name in ("lines", "csv", "xlsx", "pdf"):
        each = found[name]
        peak = "" if each["peak_mib"] is None else f"{each['peak_mib']:.0f}"
        rows.append(
            f"| {name} | {each['rows']:,} | {each['rows_per_s']:,} | {each['s']} | {each['file_mib']:.2f} | {peak} |"
        )
    return "\n".join(rows)


def _document(rows: int) -> Document:
    made = ((NOW + n * 1000, f"市政消火栓水压低 {n}", "胜利路 18 号门前", n / 7, "已确认 王") for n in range(rows))
    return Document(
        "alarms", "报警", "zh", "Asia/Shanghai", NOW, "0:" + "0" * 64, (), (), (Table("报警", COLUMNS, made),)
    )


def _written(spool: Spool, out: Path, rows: int) -> dict[str, Any]:
    begin = time.perf_counter()
    reading, writing = os.pipe()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "gateway.exports.render", str(spool.path), str(out), spool.code(), ""],
        dict(os.environ),
        file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_CLOSE, reading)],
    )
    os.close(writing)
    while os.read(reading, 65536):
        pass
    os.close(reading)
    _, status, used = os.wait4(child, 0)
    if status != 0:
        raise RuntimeError(f"{out.name}: got exit status {status}, want 0.")
    return _figures(rows, time.perf_counter() - begin, out.stat().st_size, used.ru_maxrss / 1024)


def _figures(rows: int, seconds: float, size: int, peak: float | None) -> dict[str, Any]:
    return {
        "rows": rows,
        "rows_per_s": round(rows / seconds),
        "s": round(seconds, 2),
        "file_mib": round(size / 2**20, 3),
        "peak_mib": None if peak is None else round(peak, 1),
    }
