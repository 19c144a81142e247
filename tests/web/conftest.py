"""One good station for each web test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.station import Station


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """Every device good, nobody may sign in yet. The path is short: a Unix socket's may have 107 bytes."""
    made = Station(tmp_path / "s")
    made.all_good()
    yield made
    made.close()
