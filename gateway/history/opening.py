"""Which back end the settings ask for."""

from __future__ import annotations

from pathlib import Path

from gateway.history.base import History
from gateway.history.embedded import EmbeddedHistory
from gateway.history.settings import EmbeddedSettings, HistorySettings, Influx1Settings

FOLDER = "history"
"""Folder of the embedded store below the data folder."""


def open_history(settings: HistorySettings, data_dir: Path, read_only: bool = False) -> History:
    """The history the settings name, not opened yet: use it with `async with`.

    Args:
        settings: one of the three kinds.
        data_dir: the gateway's data folder; the embedded store lies in `history/` below it.
        read_only: for processes other than the gateway.
    """
    if isinstance(settings, EmbeddedSettings):
        return EmbeddedHistory(data_dir / FOLDER, read_only=read_only)
    # The clients of remote stores take tens of megabytes; only who uses one pays.
    if isinstance(settings, Influx1Settings):
        from gateway.history.influx1 import Influx1History

        return Influx1History(settings, read_only=read_only)
    from gateway.history.influx2 import Influx2History

    return Influx2History(settings, read_only=read_only)
