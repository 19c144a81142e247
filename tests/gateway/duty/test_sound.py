"""Whether the crew has listened to its screen: said of each shift, an alarm when nobody did."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.duty.station import HOUR_MS, MINUTE_MS, hand_over, make_station, said
from tests.gateway.world import World

QUIET = "  duty_checks: {per_shift: 0}\n"


def listen(world: World, *, heard: bool = True) -> None:
    """Somebody listens to the tones of the duty screen."""
    world.ask("sound_check.listen", site="shuiye", heard=heard)


def standing(world: World) -> list[str]:
    """States of the alarms about the sound."""
    return [("open" if alarm.active else "over") for alarm in world.alarms("rule = 'sound-unchecked'")]


def test_an_alarm_comes_when_nobody_listened_a_quarter_of_an_hour_into_the_shift(tmp_path: Path) -> None:
    """It is over once somebody heard it, also after the gateway started again; the next shift listens anew."""
    world = make_station(tmp_path, more=QUIET)
    assert said(world, "sound") == "ok"  # nobody is there: that is another rule's
    hand_over(world, 3, 1, 2)
    assert said(world, "sound") == "untested"
    world.wait(14 * MINUTE_MS)
    assert standing(world) == []
    world.wait(2 * MINUTE_MS)
    assert standing(world) == ["open"]
    world.restart()
    world.turn()
    listen(world)
    assert (said(world, "sound"), standing(world)) == ("ok", ["over"])
    world.wait(8 * HOUR_MS)
    hand_over(world, 1, 3, 4)
    assert said(world, "sound") == "untested"


def test_a_shift_is_covered_when_it_listened_while_it_took_over(tmp_path: Path) -> None:
    """The tones are heard at sign-on, before both sides have signed."""
    world = make_station(tmp_path, more=QUIET)
    listen(world)
    world.wait(20 * MINUTE_MS)
    hand_over(world, 3, 1, 2)
    assert said(world, "sound") == "ok"
    world.wait(30 * MINUTE_MS)
    assert standing(world) == []


def test_a_screen_that_was_not_heard_is_no_checked_one(tmp_path: Path) -> None:
    """Whoever says that nothing was heard does not make the alarm go away."""
    world = make_station(tmp_path, more=QUIET)
    hand_over(world, 3, 1, 2)
    listen(world, heard=False)
    assert said(world, "sound") == "not_heard"
    world.wait(16 * MINUTE_MS)
    assert standing(world) == ["open"]


def test_nothing_is_asked_of_a_station_whose_screen_has_no_sound(tmp_path: Path) -> None:
    """`sound_check: false` in the site file."""
    world = make_station(tmp_path, more=QUIET + "  sound_check: false\n")
    hand_over(world, 3, 1, 2)
    world.wait(HOUR_MS)
    assert (said(world, "sound"), standing(world)) == ("ok", [])
