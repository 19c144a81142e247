"""Writes the file of an export, in a process of its own: `python -m gateway.exports.render SPOOL OUT CODE LINK`.

So a long PDF holds up no page, and its memory is given back at the end. Prints the rows written so far, one number a
line; what cannot be done is printed as `!` and a word, with exit status 1.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from contract.errors import StartError
from gateway.exports.csv_file import write_csv
from gateway.exports.document import Spool, TooLong
from gateway.exports.pdf_file import write_pdf
from gateway.exports.xlsx_file import write_xlsx

PART = ".part"


def render(spool: Spool, out: Path, code: str, link: str) -> None:
    """Write the file its name asks for; it is there whole or not at all. Raises TooLong, StartError, OSError."""
    part = out.with_name(out.name + PART)
    try:
        if out.suffix == ".pdf":
            write_pdf(spool, code, part, _told, link)
        else:
            write = write_xlsx if out.suffix == ".xlsx" else write_csv
            write(spool, code, part, _told)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _told(rows: int) -> None:
    sys.stdout.write(f"{rows}\n")
    sys.stdout.flush()


def main() -> int:
    """Exit status 0: written; 1: not, with the reason told."""
    spool, out, code, link = sys.argv[1:]
    with contextlib.suppress(OSError):
        os.nice(10)  # pages and alarms come first
    try:
        render(Spool(Path(spool)), Path(out), code, link)
    except TooLong:
        sys.stdout.write("!long\n")
        return 1
    except StartError:
        sys.stdout.write("!font\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
