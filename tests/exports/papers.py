"""Small exports for the tests: one document, written as any kind of file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gateway.exports.csv_file import write_csv
from gateway.exports.document import Chart, Column, Document, Spool, Table, lines
from gateway.exports.layout import drawn_by
from gateway.exports.pdf_file import write_pdf
from gateway.exports.xlsx_file import write_xlsx

NOW = 1_763_776_800_000
"""2025-11-22T10:00:00+08:00"""
WRITERS = {"csv": write_csv, "xlsx": write_xlsx, "pdf": write_pdf}


def document(
    names: Iterable[str] = ("压力过低",), *, language: str = "zh", title: str = "设备档案 市政消火栓"
) -> Document:
    """A chart with a gap, a table with a row a name, and an empty table."""
    chart = [(NOW + n * 3_600_000, *((None,) * 3 if n == 5 else (100 + n, 120.5 + n, 140 + n))) for n in range(12)]
    rows = [(NOW + n, name, n + 0.5, None) for n, name in enumerate(names)]
    band = (Column("时间", "time"), Column("最低", "number"), Column("平均", "number"), Column("最高", "number"))
    return Document(
        "life", title, language, "Asia/Shanghai", NOW, f"17:{'9' * 64}", (("站点", "水业"), ("Grid", "西岸")),
        ("本地指标，非官方评分。",),
        (
            Table("压力", band, chart, Chart("kPa", (("低于", 110.0),))),
            Table("报警", (Column("时间", "time"), Column("标题"), Column("次数", "number"), Column("备注")), rows),
            Table("工单", (Column("时间", "time"), Column("工作")), ()),
        ),
    )  # fmt: skip


def written(of: Document, kind: str, folder: Path) -> tuple[Path, str]:
    """The file, and its code."""
    spool = Spool(folder / "content.jsonl")
    spool.path.write_bytes(b"".join(lines(of, drawn_by() if kind == "pdf" else "")))
    path, code = folder / f"export.{kind}", spool.code()
    WRITERS[kind](spool, code, path, lambda _: None)
    return path, code
