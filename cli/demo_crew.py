"""People for the demo's station, and a crew on duty, so that its pages are not empty."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from contract.site import Site
from contract.station import Station
from gateway.app import wall_ms
from gateway.control.client import SOCKET, ControlClient, ControlError
from gateway.duty.roster_check import shifts_between

PEOPLE: tuple[dict[str, Any], ...] = (
    {"name": "张建国", "roles": ["attendant"], "user": "duty"},
    {"name": "李秀英", "roles": ["attendant"]},
    {"name": "王海涛", "roles": ["leader", "fighter"], "user": "administrator"},
    {"name": "刘志强", "roles": ["fighter", "driver"]},
    {"name": "陈敏", "roles": ["attendant"]},
    {"name": "赵磊", "roles": ["deputy", "fighter"]},
)
"""Made up. Nobody has a PIN: an administrator has one made on the page of the person."""
CERTIFIED = ("attendant", "leader")
UNTIL = date(2099, 12, 31)
CREWS = ([1, 2], [3, 5])
"""Numbers of the certified."""
TRIES = 50
PLANNED_MS = 14 * 86_400_000


def roster_of(site: Site, station: Station, now_ms: int) -> list[dict[str, Any]]:
    """Two crews that take turns at every post for the days to come, the first of them now."""
    cells = []
    ahead = shifts_between(station, ZoneInfo(site.time_zone), now_ms, now_ms + PLANNED_MS)
    for turn, shift in enumerate(ahead):
        for post in station.posts:
            when = {"day": shift.day.isoformat(), "shift": shift.begins}
            cells.append({"site": site.site, **when, "post": post.id, "people": CREWS[turn % len(CREWS)]})
    return cells


async def man_station(data_dir: Path, site: Site) -> None:
    """Add the people, plan two weeks, tick the equipment, and hand over to the first two; the leader is the witness.

    Raises:
        RetryLater: the gateway is away. ControlError: it refuses.
    """
    if site.station is None:
        return
    certificate = [{"kind": "operator", "until": UNTIL.isoformat()}]
    async with ControlClient(data_dir / SOCKET) as gateway:
        for person in PEOPLE:
            held = certificate if set(person["roles"]) & set(CERTIFIED) else []
            await gateway.ask("person.add", "local", site=site.site, certificates=held, **person)
        await gateway.ask("roster.plan", "local", cells=roster_of(site, site.station, wall_ms()))
        for item in site.station.equipment:
            await gateway.ask("equipment.tick", "local", site=site.site, item=item.id, count=item.count, result="ok")
        for number in (1, 2):
            who = {"person": number, "proof": "pin", "post": site.station.posts[0].id}
            await gateway.ask("shift.sign_on", "local", site=site.site, **who)
        for side, number in (("new", 1), ("old", 3)):
            await _sign(gateway, site.site, {"person": number, "proof": "pin", "side": side})
        await gateway.ask("sound_check.listen", "local", site=site.site, heard=True)


async def _sign(gateway: ControlClient, site: str, who: dict[str, Any]) -> None:
    """Sign what the sheet says. While devices report for the first time it changes as it is looked at."""
    for tries_left in reversed(range(TRIES)):
        seen = (await gateway.ask("handover.look", "local", site=site))["seen"]
        try:
            await gateway.ask("handover.sign", "local", site=site, seen=seen, **who)
        except ControlError as exc:
            if exc.code != "conflict" or not tries_left:
                raise
        else:
            return
