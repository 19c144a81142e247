"""How the stations are, on the board: ready or not and why, who is on post, when the crew changes, the sound check."""

from __future__ import annotations

from typing import NamedTuple

from gateway.board.rows import SoundCheck
from gateway.duty.readiness_rows import DEDUCTION, READY, Deduction
from gateway.web.board.sound import last_sound
from gateway.web.context import Web
from gateway.web.decision import subject_title
from gateway.web.registers.readiness import rows_of, stations_of
from gateway.web.registers.shifts import current
from gateway.web.registers.staff import people_names
from gateway.web.texts import Texts

STATIONS = 3
"""Stations told in full, those that are worst; the others are counted."""
REASONS = 3
"""Heaviest reasons told of each."""
LEVELS = ("not_ready", "unknown", "degraded", "ready")


class Reason(NamedTuple):
    """Something that takes from a station."""

    title: str
    subject: str
    level: str
    alarm: int


class PostLine(NamedTuple):
    """A post: who stands there, and how many should."""

    title: str
    people: list[str]
    want: int


class StationLine(NamedTuple):
    """A station. more: further reasons. ends_ms: when the shift ends, None while none runs. handover: one is open.

    sound: the last sound check; is_sound_old: it is from before this shift.
    """

    site: str
    title: str
    level: str
    score: float | None
    since_ms: int | None
    reasons: list[Reason]
    more: int
    posts: list[PostLine]
    ends_ms: int | None
    handover: bool
    sound: SoundCheck | None
    is_sound_old: bool


class Strip(NamedTuple):
    """The stations told in full, and of the others how many are of each level."""

    stations: list[StationLine]
    others: list[tuple[str, int]]


async def station_strip(web: Web, texts: Texts) -> Strip:
    """The stations a reader may see, the worst first."""
    levels = {site: _level(web, site) for site in stations_of(web)}
    ordered = sorted(levels, key=lambda site: LEVELS.index(levels[site]))
    shown = ordered[:STATIONS]
    rest = [levels[site] for site in ordered[STATIONS:]]
    if not shown:
        return Strip([], [])
    taken = await web.read(web.ledger.entries, DEDUCTION, sites=tuple(shown), is_open=True, limit=500)
    names = await people_names(web)
    lines = [_line(web, site, levels[site], taken, names, texts) for site in shown]
    return Strip(lines, [(level, rest.count(level)) for level in LEVELS if level in rest])


def _level(web: Web, site: str) -> str:
    """What a station is; unknown while the gateway does not answer or has not said it."""
    now = next(iter(rows_of(web, READY.name, site)), None)
    level = str(now["level"]) if web.picture.connected and now is not None else "unknown"
    return level if level in LEVELS else "unknown"


def _line(
    web: Web,
    site: str,
    level: str,
    taken: list[Deduction],
    names: dict[int, str],
    texts: Texts,
) -> StationLine:
    now = next(iter(rows_of(web, READY.name, site)), None)
    mine = sorted((row for row in taken if row.site == site and row.risk is None), key=_heaviest_first)
    running, handover = current(web, site)
    sound = last_sound(web, site)
    return StationLine(
        site=site,
        title=web.inventory.site_title(site).get(texts.language),
        level=level,
        score=now["score"] if now is not None and web.picture.connected else None,
        since_ms=now["from_ms"] if now is not None else None,
        reasons=[_reason(web, row, texts) for row in mine[:REASONS]],
        more=max(0, len(mine) - REASONS),
        posts=_posts(web, site, names, texts),
        ends_ms=running.ends_ms if running is not None else None,
        handover=handover is not None,
        sound=sound,
        is_sound_old=running is not None and (sound is None or not sound.is_of_shift(running.from_ms)),
    )


def _posts(web: Web, site: str, names: dict[int, str], texts: Texts) -> list[PostLine]:
    station = web.inventory.sites[site].station
    if station is None:
        return []
    running, _ = current(web, site)
    stays = running.present if running is not None else ()
    return [
        PostLine(
            post.title.get(texts.language),
            [names.get(stay.person, texts("No. %(n)s", n=stay.person)) for stay in stays if stay.post == post.id],
            post.crew,
        )
        for post in station.posts
    ]


def _reason(web: Web, row: Deduction, texts: Texts) -> Reason:
    rule = web.inventory.rules.get(row.rule)
    title = row.rule if rule is None else rule.title.get(texts.language)
    return Reason(title, subject_title(row.subject, web.inventory, texts), row.level, row.alarm)


def _heaviest_first(row: Deduction) -> tuple[int, float, int]:
    return LEVELS.index(row.level) if row.level in LEVELS else len(LEVELS), -row.points, row.id
