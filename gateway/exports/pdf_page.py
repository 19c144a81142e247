"""The paper of a PDF: font, page head and foot, wrapped text, the QR code, a chart. Drawn with lines, no pictures.

The font is Noto Sans SC, fetched at set-up; without it a Noto Sans CJK of the system. A subset goes into each file, so
it looks the same everywhere and its text can be searched and copied.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Self

import segno
from fpdf import FPDF
from fpdf.fonts import TTFFont

from gateway.exports.document import Cell
from gateway.exports.layout import SYSTEM, find_font

SIMPLIFIED = 2
"""Place of the simplified Chinese face in the system's collection."""
FAMILY = "weizhan"
MARGIN = 12.0
"""mm, of every page."""
LINE = 4.2
"""mm from line to line of small text."""
SMALL, NORMAL, LARGE = 8.0, 9.5, 16.0
INK, MUTED, RULE, HEAD = (16, 26, 36), (75, 90, 104), (211, 219, 226), (238, 241, 244)
LIMIT = (178, 60, 0)
BAND, MEAN = (190, 212, 236), (10, 87, 168)
SAMPLE_WIDE = 7.0
"""mm, of a piece in the legend of a chart."""
logging.getLogger("fpdf").setLevel(logging.ERROR)
logging.getLogger("fontTools").setLevel(logging.ERROR)


class Paper(FPDF):
    """A4 across. title, code: printed on every page."""

    def __init__(self, title: str, code: str, made: datetime) -> None:
        super().__init__(orientation="L", unit="mm", format="A4")
        self._head, self._code = "", code
        path = find_font()
        if path == SYSTEM:
            self.add_font(FAMILY, fname=path, collection_font_number=SIMPLIFIED)
        else:
            self.add_font(FAMILY, fname=path)
        self.set_margins(MARGIN, MARGIN)
        self.set_auto_page_break(False)
        self.set_creation_date(made)
        self.set_title(title)
        self.set_producer("Weizhan")
        self._known = frozenset(getattr(self.fonts[FAMILY], "cmap", ()))
        self._widths: dict[str, float] = {}
        self.set_font(FAMILY, size=SMALL)
        self._head = self.printable(title)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The library closes its font when the file is written; one that is given up would keep it open.
        for font in self.fonts.values():
            if isinstance(font, TTFFont):
                font.close()

    @property
    def bottom(self) -> float:
        """Where a page ends, mm from the top."""
        return self.h - MARGIN - 6

    def header(self) -> None:
        """Title on every page."""
        self.set_font(FAMILY, size=SMALL)
        self.set_text_color(*MUTED)
        self.set_xy(MARGIN, 6)
        self.cell(self.epw, LINE, self.cut(self._head, self.epw))
        self.set_y(MARGIN + 2)

    def footer(self) -> None:
        """Code and page number on every page."""
        self.set_font(FAMILY, size=SMALL)
        self.set_text_color(*MUTED)
        self.set_xy(MARGIN, self.h - MARGIN - 2)
        self.cell(self.epw - 30, LINE, f"SHA-256 {self._code}")
        self.cell(30, LINE, f"{self.page_no()} / {{nb}}", align="R")

    def printable(self, text: str) -> str:
        """A text with what the font has no shape for written out."""
        return "".join(c if ord(c) in self._known or c in "\n\t" else f"[U+{ord(c):04X}]" for c in text).replace(
            "\t", " "
        )

    def width(self, char: str) -> float:
        """mm, at the size of a table."""
        found = self._widths.get(char)
        if found is None:
            found = self._widths[char] = self.get_string_width(char)
        return found

    def wrap(self, text: str, room: float) -> list[str]:
        """Lines no wider than `room` mm; broken at spaces, and between any two characters where there is none."""
        found: list[str] = []
        for paragraph in text.split("\n"):
            line, wide, space = "", 0.0, -1
            for char in paragraph:
                width = self.width(char)
                if wide + width > room and line:
                    if char != " " and 0 < space < len(line) - 1 and char.isascii():
                        found.append(line[:space])
                        line = line[space + 1 :]
                    else:
                        found.append(line)
                        line = ""
                    wide, space = sum(map(self.width, line)), -1
                    if char == " " and not line:
                        continue
                if char == " ":
                    space = len(line)
                line, wide = line + char, wide + width
            found.append(line)
        return found

    def cut(self, text: str, room: float) -> str:
        """The first line of a text."""
        lines = self.wrap(text, room - self.width("…"))
        return lines[0] if len(lines) == 1 else f"{lines[0]}…"

    def paragraph(self, text: str, *, size: float = NORMAL, muted: bool = False) -> None:
        """Text over the whole width, on as many lines as it needs."""
        self.set_font(FAMILY, size=SMALL)
        lines = self.wrap(self.printable(text), self.epw * SMALL / size)
        self.set_font(FAMILY, size=size)
        self.set_text_color(*(MUTED if muted else INK))
        for line in lines:
            self.need(size * 0.5)
            self.cell(self.epw, size * 0.5, line, new_x="LMARGIN", new_y="NEXT")

    def need(self, height: float) -> bool:
        """Begin a page where so many mm are not left; whether it did."""
        if self.get_y() + height <= self.bottom:
            return False
        size, colour = self.font_size_pt, self.text_color
        self.add_page()
        self.set_font(FAMILY, size=size)
        self.text_color = colour
        return True

    def code_mark(self, text: str, x: float, y: float, side: float) -> None:
        """A QR code, as small squares."""
        matrix = segno.make_qr(text, error="m").matrix
        step = side / len(matrix)
        self.set_fill_color(0, 0, 0)
        for row, cells in enumerate(matrix):
            begin = None
            for column, dark in enumerate([*cells, 0]):
                if dark and begin is None:
                    begin = column
                elif not dark and begin is not None:
                    # A hair wider, so that viewers show no seams.
                    self.rect(x + begin * step, y + row * step, (column - begin) * step, step * 1.02, style="F")
                    begin = None


def draw_chart(
    paper: Paper, title: str, unit: str, limits: Sequence[tuple[str, float]], rows: Sequence[Sequence[Cell]],
    words: tuple[str, str, str],
) -> None:  # fmt: skip
    """Lowest to highest as a band, mean as a line, limits across, a gap where there is one. rows: of the table.
    words: of the legend: band, mean, limit."""
    wide, high = paper.epw - 30, 52.0
    paper.need(high + 24)
    paper.ln(2)
    paper.paragraph(f"{title}{f' ({unit})' if unit else ''}")
    left, top = MARGIN + 24, paper.get_y() + 3
    values = [float(v) for row in rows for v in row[1:] if isinstance(v, int | float)]
    times = [datetime.fromisoformat(str(row[0])).timestamp() for row in rows]
    if not values or times[-1] <= times[0]:
        paper.paragraph("—", muted=True)
        return
    low, top_value = min(values), max(values)
    spread = max(top_value - low, abs(top_value) * 0.02, 0.5)
    for _, limit in limits:
        if low - 2 * spread <= limit <= top_value + 2 * spread:
            low, top_value = min(low, limit), max(top_value, limit)
    pad = max(top_value - low, 0.5) * 0.06
    low, top_value = low - pad, top_value + pad

    def x(at: float) -> float:
        return left + wide * (at - times[0]) / (times[-1] - times[0])

    def y(value: float) -> float:
        return top + high * (top_value - value) / (top_value - low)

    paper.set_draw_color(*RULE)
    paper.set_line_width(0.2)
    paper.set_font(FAMILY, size=7)
    paper.set_text_color(*MUTED)
    for value in ticks(low, top_value):
        paper.line(left, y(value), left + wide, y(value))
        paper.set_xy(MARGIN, y(value) - 2)
        paper.cell(22, 4, f"{value:.4g}", align="R")
    _draw_values(paper, rows, [(x(at)) for at in times], y)
    shown = [(label, limit) for label, limit in limits if low <= limit <= top_value]
    for label, limit in shown:
        _limit_line(paper, left, y(limit), wide)
        paper.set_xy(left + 1, y(limit) - 4)
        paper.cell(40, 4, f"{label} {limit:g}")
    for n, align in ((0, "L"), (-1, "R")):
        paper.set_xy(left, top + high + 0.5)
        paper.cell(wide, 4, _minute(str(rows[n][0])), align=align)
    _legend(paper, left, top + high + 5.5, words if shown else words[:2])
    paper.set_y(top + high + 12)


def ticks(low: float, high: float) -> list[float]:
    """A few round values between two others."""
    exponent = math.floor(math.log10((high - low) / 4))
    step = next(each for n in (1, 2, 2.5, 5, 10) if (high - low) / (each := n * 10.0**exponent) <= 6)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _minute(iso: str) -> str:
    return f"{iso[:10]} {iso[11:16]}"


def _limit_line(paper: Paper, left: float, y: float, wide: float) -> None:
    paper.set_draw_color(*LIMIT)
    paper.set_dash_pattern(dash=1.6, gap=1)
    paper.line(left, y, left + wide, y)
    paper.set_dash_pattern()


def _legend(paper: Paper, left: float, top: float, words: Sequence[str]) -> None:
    """What is drawn how, each as a piece of itself: the band, the line of the mean, the line of a limit."""
    middle, x = top + 2, left
    for n, word in enumerate(words):
        if n == 0:
            paper.set_fill_color(*BAND)
            paper.rect(x, top + 0.6, SAMPLE_WIDE, 2.8, style="F")
        elif n == 1:
            paper.set_draw_color(*MEAN)
            paper.set_line_width(0.4)
            paper.line(x, middle, x + SAMPLE_WIDE, middle)
            paper.set_line_width(0.2)
        else:
            _limit_line(paper, x, middle, SAMPLE_WIDE)
        room = paper.get_string_width(word) + 2
        paper.set_xy(x + SAMPLE_WIDE + 1, top)
        paper.cell(room, 4, word)
        x += SAMPLE_WIDE + 1 + room + 5


def _draw_values(paper: Paper, rows: Sequence[Sequence[Cell]], xs: list[float], y: object) -> None:
    assert callable(y)
    run: list[tuple[float, float, float, float]] = []
    for at, row in zip([*xs, 0.0], [*rows, [None]], strict=True):
        if len(row) > 3 and all(isinstance(v, int | float) for v in row[1:4]):
            run.append((at, *(y(float(v)) for v in row[1:4] if v is not None)))
            continue
        if len(run) > 1:
            paper.set_fill_color(*BAND)
            band = [(x, low) for x, low, _, _ in run] + [(x, high) for x, _, _, high in reversed(run)]
            paper.polygon(band, style="F")
        if run:
            paper.set_draw_color(*MEAN)
            paper.set_line_width(0.4)
            line = [(x, mean) for x, _, mean, _ in run]
            paper.polyline(line if len(line) > 1 else [line[0], (line[0][0] + 0.3, line[0][1])])
            paper.set_line_width(0.2)
        run = []
