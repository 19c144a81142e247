"""Alarms as rows of a list: episodes of one subject in one row, what a cause keeps still under that cause. Pure.

What holds now always heads a row of its own. What is over folds under a row of the same subject; what a cause
suppresses folds under the alarm of the cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.web.alarm_cards import AlarmCard, alarm_order, node_of


@dataclass
class Row:
    """One row. episodes: earlier alarms of the subject, newest first. below: what the head's cause keeps still."""

    head: AlarmCard
    episodes: list[AlarmCard] = field(default_factory=list)
    below: list[AlarmCard] = field(default_factory=list)

    @property
    def waiting_ids(self) -> list[int]:
        """Alarms of this row that wait to be acknowledged, the head among them."""
        return [card.id for card in (self.head, *self.episodes) if card.waiting]


def fold(cards: Sequence[AlarmCard], *, worst_first: bool = True) -> list[Row]:
    """Rows of a list of alarms. worst_first: as the board orders them; else as they came (newest first)."""
    ordered = sorted(cards, key=alarm_order) if worst_first else list(cards)
    rows: list[Row] = []
    by_subject: dict[tuple[str, bool], Row] = {}
    for card in sorted(ordered, key=lambda card: not card.active):  # stable: what holds comes first
        key = (card.subject, card.is_drill)
        known = by_subject.get(key)
        if known is None or card.active:
            row = Row(card)
            by_subject.setdefault(key, row)
            rows.append(row)
        else:
            known.episodes.append(card)
    rows = _under_causes(rows)
    for row in rows:
        row.episodes.sort(key=lambda card: -card.raised_ms)
    place = {card.id: n for n, card in enumerate(ordered)}
    if worst_first:
        return sorted(rows, key=lambda row: place[row.head.id])
    return sorted(rows, key=lambda row: min(place[card.id] for card in (row.head, *row.episodes)))


def _under_causes(rows: list[Row]) -> list[Row]:
    """Suppressed rows go under the row whose subject is their cause, where it is in the list."""
    causes = {
        node_of(row.head.subject): row for row in rows if row.head.hold != "suppressed_by_design" and row.head.active
    }
    kept: list[Row] = []
    for row in rows:
        cause = causes.get(row.head.cause or "")
        if row.head.hold == "suppressed_by_design" and cause is not None and row.head.severity != "fire":
            cause.below += [row.head, *row.episodes]
        else:
            kept.append(row)
    return kept
