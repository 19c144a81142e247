"""Whether a screen can be heard: the last sound check of a site."""

from __future__ import annotations

import msgspec

from gateway.board.rows import SOUND_CHECK, SoundCheck
from gateway.web.context import Web
from gateway.web.registers.readiness import rows_of


def last_sound(web: Web, site: str) -> SoundCheck | None:
    """The last sound check of a site."""
    return next((msgspec.convert(row, SoundCheck) for row in rows_of(web, SOUND_CHECK.name, site)), None)
