"""Rows of the audit chain in a reader's words: what was done, to what, and the details unfolded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from contract.site import SYSTEM_SITE
from gateway.ledger.records import AuditRow
from gateway.web.context import Web
from gateway.web.decision import subject_title
from gateway.web.texts import LANGUAGES, Texts

KINDS = (
    "agent", "alarm", "audit", "backup", "configuration", "deduction", "device", "drill", "duty_asked", "duty_check",
    "equipment", "exported", "gateway", "handover", "hazard", "incident", "log", "maintenance", "message", "notice",
    "notify", "patrol", "patrol_plan", "patrol_progress", "person", "quarantine", "readiness", "report", "risk",
    "roster", "round", "rules", "service", "session", "shelf", "shift", "sign_in", "site_version", "stale", "station",
    "tick", "training", "user", "visit", "work", "account", "token", "order", "plan", "map", "label", "line_report",
    "floor_plan", "advice", "sound_check", "personal",
)  # fmt: skip
"""What actions are about: the part before the dot."""
VERBS = (
    "accept", "acknowledge", "add", "answer", "apply", "approve", "arrive", "ask", "assign", "begin", "brigade",
    "call", "change", "check_duty", "clear", "close", "confirm", "create", "delete", "delist", "depart", "dismiss",
    "end", "epoch", "erase", "extend", "failed", "find", "finish", "fix", "flap", "hold", "import", "keep", "kept",
    "labels", "late", "leave", "list", "look", "move", "note", "open", "over", "past", "pin_failed", "plan", "raise",
    "read",
    "receipt", "receive", "record", "refuse", "refused", "reject", "release", "reload", "report", "reset", "return",
    "scanned", "set_area", "set_password", "set_pin", "shelve", "sign", "sign_off", "sign_on", "start", "stop",
    "suppress", "take", "take_out", "test", "tick", "undo", "unhold", "unknown", "unshelve", "verified", "verify",
    "withdraw", "write", "done", "file", "forget", "overdue", "see", "use", "window",
    "place", "unplace", "seen", "untick", "remove", "listen", "use_one_time", "rehash",
)  # fmt: skip
"""What was done: the part behind it."""
FIELDS = (
    "address", "agent", "alarm", "area", "at_ms", "basis", "before", "bytes", "cause", "channel", "configuration",
    "count", "detail", "device", "devices", "event_ms", "expires_ms", "file", "finding", "from_ms", "hash", "head",
    "id", "item", "minutes", "note", "notice", "number", "people", "person", "profile", "range", "reason", "role",
    "row", "rules", "scope", "severity", "site", "state", "station", "subject", "title", "until_ms", "version", "why",
    "work", "problem", "rows", "by", "via", "mark",
)  # fmt: skip
"""Names of details that have a word; others stand as they are."""
MOST_DETAILS = 200
LONGEST = 2000


class AuditLine(NamedTuple):
    """A row for people. what: in words; about: what it was done to; details: (name, value) as far as they unfold."""

    id: int
    at_ms: int
    actor: str
    what: str
    about: str
    action: str
    subject: str
    details: list[tuple[str, str]]
    hash: str
    previous: str


def audit_line(row: AuditRow, web: Web, texts: Texts) -> AuditLine:
    """The row in words."""
    details = msgspec.json.decode(row.detail) if row.detail else {}
    return AuditLine(
        row.id, row.at_ms, texts.who(row.actor), action_words(row.action, texts),
        _about(row, details, web, texts), row.action, row.subject,
        list(_unfold(details, texts)), row.hash, row.previous,
    )  # fmt: skip


def action_words(action: str, texts: Texts) -> str:
    """`alarm.acknowledge` -> alarm · acknowledged."""
    kind, dot, verb = action.partition(".")
    noun = texts.word("audit_kind", kind)
    if not dot:
        return noun
    return f"{noun} · {texts.word('audit_verb', verb)}"


def _about(row: AuditRow, details: dict[str, Any], web: Web, texts: Texts) -> str:
    kind, _, number = row.subject.partition("/")
    if number.isdigit() and kind in KINDS:
        site = details.get("row", {}).get("site") if isinstance(details.get("row"), dict) else None
        where = web.inventory.site_title(site).get(texts.language) if site in web.inventory.sites else ""
        return texts("No. %(n)s", n=number) + (f" · {where}" if where else "")
    if kind in web.inventory.sites or kind == SYSTEM_SITE:
        site = web.inventory.site_title(kind).get(texts.language)
        return subject_title(row.subject, web.inventory, texts) if number else site
    if row.subject == "people":
        return texts("People")
    return "" if row.subject in ("gateway", "audit/chain") else row.subject


def _unfold(value: Any, texts: Texts) -> Iterator[tuple[str, str]]:
    left = MOST_DETAILS
    for name, told in _leaves(value, "", texts):
        if not (left := left - 1):
            yield "…", texts("and more")
            return
        yield name, told if len(told) <= LONGEST else told[:LONGEST] + "…"


def _leaves(value: Any, path: str, texts: Texts) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and set(value) == set(LANGUAGES):
        yield path, str(value[texts.language])
    elif isinstance(value, dict):
        for name, inner in value.items():
            stem, _, language = str(name).rpartition("_")
            if language in LANGUAGES and all(f"{stem}_{each}" in value for each in LANGUAGES):
                if language != texts.language:
                    continue  # the same in the other language
                name = stem
            word = texts.word("audit_field", str(name))
            yield from _leaves(inner, f"{path} · {word}" if path else word, texts)
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for number, each in enumerate(value, 1):
            yield from _leaves(each, f"{path} {number}", texts)
    elif isinstance(value, list):
        yield path, "、".join(map(str, value)) if texts.language == "zh" else ", ".join(map(str, value))
    elif isinstance(value, bool):
        yield path, texts("yes") if value else texts("no")
    elif value is None or value == "":
        return
    elif isinstance(value, int) and 1_000_000_000_000 < value < 5_000_000_000_000:
        yield path, texts.stamp(value)  # a time; nothing else the chain holds is so large
    else:
        yield path, str(value)
