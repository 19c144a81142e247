"""The list of devices: found by words, grouped by line or kind, a page at a time. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from gateway.web.views import AgentRow, DeviceRow

PAGE = 60
"""Devices on one page."""
By = Literal["line", "kind"]


class Group(NamedTuple):
    """Devices of one line or kind. agent: whose line it is; None for a kind. name, kind: of the line."""

    agent: AgentRow | None
    name: str
    kind: str
    rows: list[DeviceRow]


class Listed(NamedTuple):
    """One page of the list. total: devices that fit; number: of this page, from 1."""

    groups: list[Group]
    total: int
    number: int
    pages: int


def list_devices(
    agents: Sequence[AgentRow],
    *,
    words: str = "",
    only_attention: bool = False,
    agent: str = "",
    by: By = "line",
    number: int = 1,
) -> Listed:
    """The devices that fit, as groups.

    Args:
        words: each must stand in the title, id, place or kind of a device, whatever its case.
        agent: `site/agent`; empty: all.
        number: of the page, from 1; one that is not there gives the last.
    """
    wanted = words.casefold().split()
    found = [
        (owner, line, kind, row)
        for owner in agents
        if agent in ("", f"{owner.site}/{owner.agent}")
        for line, kind, rows in owner.lines
        for row in rows
        if (not only_attention or row.needs_somebody) and (not wanted or all(word in row.words for word in wanted))
    ]
    if by == "kind":
        found.sort(key=lambda each: (each[3].kind, each[3].key))
    pages = max(1, -(-len(found) // PAGE))
    number = min(max(number, 1), pages)
    groups: list[Group] = []
    for owner, line, kind, row in found[(number - 1) * PAGE : number * PAGE]:
        group = Group(owner, line, kind, []) if by == "line" else Group(None, row.kind, "", [])
        if not groups or groups[-1][:3] != group[:3]:
            groups.append(group)
        groups[-1].rows.append(row)
    return Listed(groups, len(found), number, pages)
