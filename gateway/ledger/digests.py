"""Digests of an alarm's rows, as the audit chain carries them: a row that was altered or taken out shows.

An alarm moves: its audit row has `step`, the digest of the transition, and `row`, that of the alarm's row as it was
then. So every transition is held by its own audit row, and the alarm's row by the latest one. What never changes of an
alarm beside that (the version of its rule) stands in the audit row of its raise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

COLUMNS = (
    "id, rule, subject, site, device, severity, retrospective, raised_ms, recorded_ms, state, active, cleared_ms, "
    "acknowledged_ms, acknowledged_by, inputs, assignee, hold, hold_until_ms, cause, count, finding, drill, notes, "
    "suppressed"
)
"""Of an alarm's row, in the order they are digested in."""
STEP = "alarm_id, event, from_state, to_state, event_ms, recorded_ms, actor, note, inputs"
"""The same of a transition."""
RULES_KEPT = "rules.kept"
"""Audit row with the digests of rule versions that were written down."""
_encode = msgspec.json.Encoder().encode


def digest(values: Sequence[Any]) -> str:
    """128 bits of SHA-256 over the values as JSON; truths as SQLite keeps them."""
    plain = [int(value) if value.__class__ is bool else value for value in values]
    return hashlib.sha256(_encode(plain)).hexdigest()[:32]
