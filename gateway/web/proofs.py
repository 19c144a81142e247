"""Whether the way from equipment to people is proven, as board and notification page say it. Pure.

A row of the gateway: {target, state, hop, asked_ms, done_ms, proven_ms, ...}. `target` is agent/SITE/AGENT or
channel/PERSON/CHANNEL; `hop` names where the latest test broke, and is empty while nothing is broken.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.web.inventory import Inventory
from gateway.web.picture import Picture
from gateway.web.texts import Texts


class Way(NamedTuple):
    """One part of the path. state: good | failed | unknown."""

    target: str
    title: str
    state: str
    hop: str
    proven_ms: int | None


class ProofLine(NamedTuple):
    """The worst of all ways in a line. proven_ms: since when all of it is proven. failing: channels that fail now."""

    state: str
    text: str
    proven_ms: int | None
    failing: str


def proof_line(picture: Picture, inventory: Inventory, texts: Texts, now_ms: int) -> ProofLine | None:
    """What the board says of the path; None where no path is tested."""
    ways = proof_ways(picture, inventory, texts)
    failing = [str(way["name"]) for way in channels(picture) if way.get("state") == "failing"]
    said = texts("Messages fail: %(people)s", people=", ".join(dict.fromkeys(failing))) if failing else ""
    if not ways and not said:
        return None
    if not picture.connected:
        return ProofLine("unknown", texts("The alarm path is not known: the gateway is not answering."), None, said)
    broken = [way for way in ways if way.state == "failed"]
    if broken:
        values = {"what": broken[0].title, "hop": texts.word("hop", broken[0].hop)}
        return ProofLine("failed", texts("Alarm path broken: %(what)s, at %(hop)s", **values), None, said)
    if not ways or any(way.proven_ms is None for way in ways):
        return ProofLine("unknown", texts("The alarm path has not been proven yet."), None, said)
    oldest = min(way.proven_ms or 0 for way in ways)
    text = texts("Alarm path proven %(ago)s", ago=texts.ago(oldest, now_ms))
    return ProofLine("good", text, oldest, said)


def proof_ways(picture: Picture, inventory: Inventory, texts: Texts) -> list[Way]:
    """Every part of the path that is tested."""
    return [_way(row, picture, inventory, texts) for row in picture.proofs]


def channels(picture: Picture) -> list[dict[str, Any]]:
    """How each way to each person is doing: {person, name, channel, kind, state, pending, last_sent_ms, error}."""
    return list(picture.notices.get("ways", []))


def _way(row: dict[str, Any], picture: Picture, inventory: Inventory, texts: Texts) -> Way:
    target = str(row.get("target", ""))
    kind, _, rest = target.partition("/")
    first, _, second = rest.partition("/")
    if kind == "agent":
        title = inventory.agent_title(first, second).get(texts.language)
    else:
        names = {way["person"]: str(way["name"]) for way in channels(picture)}
        title = f"{names.get(first, first)} · {second}"
    hop = str(row.get("hop") or "")
    proven_ms = row.get("proven_ms")
    return Way(target, title, "failed" if hop else "good" if proven_ms else "unknown", hop, proven_ms)
