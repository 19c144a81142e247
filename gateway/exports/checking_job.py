"""Checks an export that somebody sent, in a process of its own: `python -m gateway.exports.checking_job FILE`.

A file of a stranger may be made to take memory or time: here it takes none of the pages', and not much at all. Prints
what was found as JSON; of what is no export, or takes too much, an exit status other than 0 tells.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path

import msgspec

from gateway.exports.checking import check_file
from gateway.exports.document import BadExport

NICE = 10
NO_EXPORT = 2
MOST_MEMORY = 1024**3
MOST_CPU_S = 60
MOST_WRITTEN = 128 * 1024 * 1024
MOST_UNPACKED = 192 * 1024 * 1024
"""Of a workbook; the largest that was small enough to be sent takes half of it."""


def main() -> int:
    """Exit status 0: checked; NO_EXPORT: it is none; others: it took too much."""
    for what, most in (
        (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_CPU, MOST_CPU_S),
        (resource.RLIMIT_FSIZE, MOST_WRITTEN),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    with contextlib.suppress(OSError):
        os.nice(NICE)
    try:
        found = check_file(Path(sys.argv[1]), most_unpacked=MOST_UNPACKED)
    except BadExport:
        return NO_EXPORT
    sys.stdout.buffer.write(msgspec.json.encode(found._asdict()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
