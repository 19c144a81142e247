"""An export as a PDF: what it says of itself, code and QR on the first page, tables whose head stands on every page.

The canonical content is attached (`content.jsonl`), so that the file alone is enough to check it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

from gateway.exports.csv_file import EVERY, Told
from gateway.exports.document import Cell, Header, Spool, TableHead, TooLong
from gateway.exports.page_texts import MOST_SHOWN
from gateway.exports.pdf_page import (
    FAMILY,
    HEAD,
    INK,
    LARGE,
    LINE,
    MARGIN,
    MUTED,
    NORMAL,
    RULE,
    SMALL,
    Paper,
    draw_chart,
)

ATTACHED = "content.jsonl"
MOST_PDF_ROWS = 20_000
"""Some 700 pages; nobody turns more, and all of them are in memory at once."""
MOST_CHART_ROWS = 20_000
SAMPLE = 60
"""Rows that the widths of columns are chosen by."""
LEAST = {"time": 33.0, "number": 16.0, "text": 20.0}
QR = 34.0
WORDS = {
    "zh": ("生成时间", "审计链末行", "校验码 SHA-256", "没有记录。", "版式"),
    "en": ("Made", "Head of the audit chain", "Code SHA-256", "No rows.", "Layout"),
}
LEGEND = {"zh": ("最低至最高", "平均", "报警限值"), "en": ("lowest to highest", "mean", "limit of an alarm")}


def write_pdf(spool: Spool, code: str, path: Path, told: Told, link: str = "") -> None:
    """Write the file. link: what the QR code says before the code. Raises TooLong, StartError (no font)."""
    header = spool.header()
    words = WORDS.get(header.language, WORDS["en"])
    with Paper(header.title, code, datetime.fromisoformat(header.made)) as paper:
        paper.add_page()
        _first_page(paper, header, code, link, words)
        done = 0
        for head, rows in spool.tables():
            if head.chart is not None:
                limits = [tuple(limit) for limit in head.chart.get("limits", ())]
                drawn = list(islice(rows, MOST_CHART_ROWS))
                legend = LEGEND.get(header.language, LEGEND["en"])
                draw_chart(paper, head.table, head.chart.get("unit", ""), limits, drawn, legend)
                continue
            for _ in _table(paper, head, rows, words[3]):
                done += 1
                if done > MOST_PDF_ROWS:
                    raise TooLong(f"got more than {MOST_PDF_ROWS} rows, which is no PDF any more. Choose XLSX or CSV.")
                if done % EVERY == 0:
                    told(done)
        paper.embed_file(bytes=spool.path.read_bytes(), basename=ATTACHED, compress=True, mime_type="application/json")
        paper.output(str(path))


def _first_page(paper: Paper, header: Header, code: str, link: str, words: Sequence[str]) -> None:
    top = paper.get_y()
    paper.set_right_margin(MARGIN + QR + 8)
    paper.paragraph(header.title, size=LARGE)
    paper.ln(1)
    told = ((words[0], header.made), (words[1], header.head), (words[2], code), (words[4], header.drawn))
    for name, value in (*header.facts, *told):
        if value or name != words[4]:
            _fact(paper, name, value)
    paper.ln(1)
    for note in header.notes:
        paper.paragraph(note, size=SMALL, muted=True)
    paper.set_right_margin(MARGIN)
    page, y = paper.page, paper.get_y()
    paper.page = 1
    paper.code_mark(f"{link}{code}", paper.w - MARGIN - QR, top, QR)
    paper.page = page
    paper.set_y(max(y, top + QR + 2) if page == 1 else y)


def _fact(paper: Paper, name: str, value: str) -> None:
    paper.set_font(FAMILY, size=SMALL)
    room = paper.epw - 52
    lines = paper.wrap(paper.printable(value), room * SMALL / NORMAL)
    paper.need(LINE * 1.1)
    paper.set_font(FAMILY, size=NORMAL)
    paper.set_text_color(*MUTED)
    paper.cell(52, LINE * 1.1, paper.cut(paper.printable(name), 50))
    paper.set_text_color(*INK)
    for line in lines:
        paper.need(LINE * 1.1)
        paper.set_x(MARGIN + 52)
        paper.cell(room, LINE * 1.1, line, new_x="LMARGIN", new_y="NEXT")


def _table(paper: Paper, head: TableHead, rows: Iterator[list[Cell]], none: str) -> Iterator[None]:
    first = list(islice(rows, SAMPLE))
    paper.set_font(FAMILY, size=SMALL)
    paper.need(24)
    paper.ln(3)
    paper.paragraph(head.table, size=11)
    if not first:
        paper.paragraph(none, muted=True)
        return
    paper.set_font(FAMILY, size=SMALL)
    widths = _widths(paper, head, first)
    _head_row(paper, head, widths)
    for row in _chained(first, rows):
        cells = [_shown(paper, cell) for cell in row]
        wrapped = [paper.wrap(text, width - 2) for text, width in zip(cells, widths, strict=True)]
        height = LINE * max(map(len, wrapped)) + 1.2
        if paper.need(height):
            _head_row(paper, head, widths)
        _row(paper, wrapped, widths, height, [kind for _, kind in head.columns])
        yield


def _chained(first: list[list[Cell]], rest: Iterator[list[Cell]]) -> Iterator[list[Cell]]:
    yield from first
    yield from rest


def _head_row(paper: Paper, head: TableHead, widths: list[float]) -> None:
    wrapped = [
        paper.wrap(paper.printable(title), width - 2) for (title, _), width in zip(head.columns, widths, strict=True)
    ]
    height = LINE * max(map(len, wrapped)) + 1.6
    paper.set_fill_color(*HEAD)
    paper.rect(MARGIN, paper.get_y(), sum(widths), height, style="F")
    _row(paper, wrapped, widths, height, [kind for _, kind in head.columns], colour=MUTED)


def _row(
    paper: Paper, wrapped: list[list[str]], widths: list[float], height: float, kinds: list[str],
    colour: tuple[int, int, int] = INK,
) -> None:  # fmt: skip
    paper.set_font(FAMILY, size=SMALL)
    paper.set_text_color(*colour)
    x, y = MARGIN, paper.get_y()
    for lines, width, kind in zip(wrapped, widths, kinds, strict=True):
        for n, line in enumerate(lines):
            if line:
                paper.set_xy(x, y + 0.6 + n * LINE)
                paper.cell(width, LINE, line, align="R" if kind == "number" else "L")
        x += width
    paper.set_draw_color(*RULE)
    paper.line(MARGIN, y + height, MARGIN + sum(widths), y + height)
    paper.set_xy(MARGIN, y + height)


def _shown(paper: Paper, cell: Cell) -> str:
    if cell is None:
        return ""
    text = cell if isinstance(cell, str) else repr(cell)
    return paper.printable(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}… [{len(text)}]")


def _widths(paper: Paper, head: TableHead, rows: list[list[Cell]]) -> list[float]:
    """Widths that fill the page: what each column needs, shared out by what it holds."""
    wanted = []
    for n, (title, kind) in enumerate(head.columns):
        texts = [paper.printable(title), *(_shown(paper, row[n])[:120] for row in rows)]
        need = max(sum(map(paper.width, text)) for text in texts) + 3
        wanted.append(max(LEAST[kind], min(need, 110.0)))
    total = sum(wanted)
    if total <= paper.epw:
        spare = (paper.epw - total) / len(wanted)
        return [each + spare for each in wanted]
    fixed = [LEAST[kind] if kind != "text" else min(20.0, paper.epw / len(wanted)) for _, kind in head.columns]
    rest, over = paper.epw - sum(fixed), sum(w - f for w, f in zip(wanted, fixed, strict=True))
    if rest <= 0 or over <= 0:
        return [paper.epw / len(wanted)] * len(wanted)
    return [f + rest * (w - f) / over for w, f in zip(wanted, fixed, strict=True)]
