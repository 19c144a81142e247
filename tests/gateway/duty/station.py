"""A small station on the fake clock: people with certificates, shifts of eight hours, one post of two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.duty.people import Certificate, Person
from gateway.duty.shifts import Shift
from gateway.ledger.secret import SECRET
from gateway.turn import Turn
from tests.gateway.harness import SITE
from tests.gateway.world import World, install

MIDNIGHT_MS = 1_759_939_200_000
"""2025-10-09 00:00 in Shanghai: shifts begin at 0, 8 and 16 o'clock."""
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
STATION = """\
station:
  grade: 3
  posts:
    - {id: control, title: {zh: 消防控制室, en: Control room}, crew: 2, certificates: [operator]}
"""


def make_station(
    folder: Path, now_ms: int = MIDNIGHT_MS, *, people: int = 6, secret: str = "5a" * 32, more: str = ""
) -> World:
    """A world with the station; its people have the numbers 1, 2, ..., all certified. more: further lines of it."""
    folder.mkdir(exist_ok=True)
    world = World(install(folder, SITE + STATION + more, of_register=True), now_ms)
    world.connection.execute("UPDATE meta SET value = ? WHERE key = ?", (secret, SECRET))
    for number in range(1, people + 1):
        add_person(world, number)
    world.restart()
    world.turn()
    return world


def add_person(world: World, number: int, **more: Any) -> Person:
    """Somebody on the list of people."""
    fields = {"site": "shuiye", "state": "active", "from_ms": world.now_ms, "certificates": (Certificate("operator"),)}
    person = Person(**{"id": number, **fields, **more})
    turn = Turn(world.state, world.now_ms, unknown_readings=10, unknown_devices=10)
    turn.begin()
    world.state.registers.people.keep(turn.pen, person, "add", "admin")
    turn.finish()
    world.connection.execute("BEGIN")
    turn.changes.write(world.connection)
    world.connection.execute("COMMIT")
    return person


def sign_on(world: World, *people: int, **more: Any) -> None:
    """People come to the control room."""
    for person in people:
        world.ask("shift.sign_on", site="shuiye", post="control", person=person, proof="pin", **more)


def sign(world: World, side: str, person: int, **more: Any) -> Any:
    """One side looks at the sheet and signs."""
    seen = world.ask("handover.look", site="shuiye")["seen"]
    fields = {"site": "shuiye", "side": side, "seen": seen, "person": person, "proof": "pin", **more}
    return world.ask("handover.sign", **fields)


def hand_over(world: World, old: int, *crew: int) -> dict[str, Any]:
    """A whole handover: the crew comes, both sides sign; gives the sheet."""
    sign_on(world, *crew, takes_over=True)
    sign(world, "old", old)
    sheet: dict[str, Any] = sign(world, "new", crew[0])
    return sheet


def running(world: World) -> Shift:
    """The running shift."""
    shift = world.state.registers.shifts.current("shuiye")
    assert shift is not None
    return shift


def said(world: World, point: str) -> Any:
    """What a point of the register says."""
    name = f"shuiye/register/{point}"
    return next(slot.value for key, slot in world.state.engine.values() if key == name)


def raised(world: World) -> list[tuple[str, int]]:
    """(rule, raised at, ms after midnight) of every alarm of the duty there was."""
    rules = "('crew', 'crew_count', 'duty_check', 'handover', 'shift', 'log')"
    found = world.alarms(f"subject LIKE '%/register/%' AND replace(subject, 'shuiye/register/', '') IN {rules}")
    return [(alarm.rule, alarm.raised_ms - MIDNIGHT_MS) for alarm in found]
