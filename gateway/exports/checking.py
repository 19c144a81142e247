"""Whether the content of an export is what its code says, from the file alone.

    CSV, XLSX   read back into the canonical lines; their SHA-256 has to be the code that stands in the file
    PDF         the attached content has to have the code that is printed, and printed again give the same text. Pages
                that another version drew (the content says which, so the code covers that too) are not printed again:
                every text of the content is looked for on them, and the drawing is said not to have been compared

A code proves that nothing was changed by accident or by somebody who left the code alone. Who changes both is found out
by the audit chain: it holds the code of every export that was handed out.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from gateway.exports.csv_file import read_csv
from gateway.exports.document import BadExport, Header, Spool, code_of, decode_header
from gateway.exports.layout import drawn_by
from gateway.exports.page_texts import Drawing, compare
from gateway.exports.pdf_file import ATTACHED, write_pdf
from gateway.exports.xlsx_file import MOST_BYTES, read_xlsx

KINDS = (".csv", ".xlsx", ".pdf")


class Checked(NamedTuple):
    """What was found. stated: the code in the file; found: that of its content; where: what does not fit.

    drawing: of a PDF whose pages were drawn by another version, what they show of the content; None of all others.
    """

    header: Header
    stated: str
    found: str
    where: str = ""
    drawing: Drawing | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the content matches the code."""
        return self.stated == self.found and not self.where


def check_file(path: Path, *, most_unpacked: int = MOST_BYTES) -> Checked:
    """Check a file. Raises BadExport when it is no export, or cannot be read as one.

    most_unpacked: bytes of a workbook, unpacked.
    """
    if path.suffix.lower() not in KINDS:
        raise BadExport(f"{path.name}: got this name, want one that ends in {', '.join(KINDS)}.")
    if not path.is_file():
        raise BadExport(f"{path}: got no such file.")
    if path.suffix.lower() == ".pdf":
        return _check_pdf(path)
    return _check_lines(read_csv(path) if path.suffix.lower() == ".csv" else read_xlsx(path, most_unpacked))


def _check_lines(read: Iterator[bytes | str]) -> Checked:
    stated: list[str] = []
    first: list[bytes] = []

    def content() -> Iterator[bytes]:
        for line in read:
            if isinstance(line, str):
                stated.append(line)
            else:
                if not first:
                    first.append(line)
                yield line

    found = code_of(content())
    return Checked(decode_header(first[0] if first else b""), stated[0] if stated else "", found)


def _check_pdf(path: Path) -> Checked:
    try:
        reader = PdfReader(path)
        attached = reader.attachments.get(ATTACHED, [])
        if len(attached) != 1:
            raise BadExport(f"{path.name}: got no attached {ATTACHED}, want one. This is no export.")
        printed = [_plain(page.extract_text()) for page in reader.pages]
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise BadExport(f"{path.name}: {exc}. This PDF cannot be read.") from exc
    stated = next((found[1] for text in printed if (found := re.search(r"SHA-256([0-9a-f]{64})", text))), "")
    with tempfile.TemporaryDirectory(prefix="weizhan-check-") as folder:
        spool = Spool(Path(folder) / ATTACHED)
        spool.path.write_bytes(attached[0])
        code, header = spool.code(), spool.header()
        if not header.drawn or header.drawn != drawn_by():
            drawing = compare(spool, printed, code)
            return Checked(header, stated or code, code, drawing=drawing)
        again = Path(folder) / "again.pdf"
        write_pdf(spool, stated or code, again, lambda _: None)
        wanted = [_plain(page.extract_text()) for page in PdfReader(again).pages]
    where = next((f"page {n}" for n, (a, b) in enumerate(zip_longest(printed, wanted), 1) if a != b), "")
    return Checked(header, stated, code, where)


def _plain(text: str) -> str:
    return "".join(text.split())
