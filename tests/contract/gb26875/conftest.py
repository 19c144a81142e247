"""What the tests of the codec share: the tables and frames made of parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contract.gb26875.frame import Frame, write_frame
from contract.gb26875.tables import Tables
from contract.gb26875.time_tag import TimeTag

NOON = bytes((2, 58, 9, 26, 9, 12))
MakeFrame = Callable[..., bytes]


@pytest.fixture(scope="session")
def tables() -> Tables:
    """The tables without a private dialect."""
    return Tables()


@pytest.fixture(scope="session")
def frame_of() -> MakeFrame:
    """Bytes of a frame around a unit given in hex; command 2, version 1.1, a good send time unless said otherwise."""

    def make(unit: str, command: int = 2, main: int = 1, sent: bytes = NOON, serial: int = 7) -> bytes:
        src, dst = bytes.fromhex("790300000000"), bytes.fromhex("385B01000000")
        return write_frame(Frame(serial, main, 1, TimeTag(sent), src, dst, command, bytes.fromhex(unit)))

    return make
