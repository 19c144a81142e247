"""Who is silent and who speaks after a pause, a stop, or while an agent is away: a grace is no sign of life."""

from __future__ import annotations

import pytest

from tests.rules.engine_run import START, rule
from tests.rules.test_engine_silence import HEARD_MS, LOST, absent, events, next_s, restarted, station


def test_silent_device_is_silent_still_when_its_agent_was_away() -> None:
    """The time that devices get when their agent is back is no sign of life: who was silent is so until it speaks."""
    run = station(absent(700.0))
    run.advance(START + 710_000)
    run.agents["s", "edge"] = False
    run.engine.agent_heard("s", "edge", False, run.now)
    run.advance(START + 1_000_000)
    run.agents["s", "edge"] = True
    run.heartbeat()
    run.advance(START + 3_000_000)
    assert run.engine.cause_of("s", "h") == "s/h"
    assert events(run, "absent") == [("raise", 700_000)]
    run.say("h/pressure_kpa", 300.0)
    run.advance(run.now + 2_000)
    assert run.engine.cause_of("s", "h") is None
    assert events(run, "absent") == [("raise", 700_000), ("clear", 3_000_000)]


def test_silent_device_that_spoke_is_looked_at_soon_when_its_agent_is_back() -> None:
    """A device that speaks as soon as its agent is back is no longer the cause a second later."""
    run = station(absent(700.0))
    run.advance(START + 710_000)
    run.agents["s", "edge"] = False
    run.engine.agent_heard("s", "edge", False, run.now)
    run.advance(START + 720_000)
    run.agents["s", "edge"] = True
    run.heartbeat()
    run.say("h/pressure_kpa", 300.0)
    run.advance(run.now + 1_000)
    assert run.engine.cause_of("s", "h") is None
    assert events(run, "absent") == [("raise", 700_000), ("clear", 720_000)]


@pytest.mark.parametrize("pause", ["stop", "suspended", "broker"])
def test_silent_device_is_looked_at_soon_after_a_pause_and_is_silent_until_it_speaks(pause: str) -> None:
    """After a stop, a pause or a broker that was away the silence of before stands, the grace does not end it; a
    reading does, within a second."""
    run = station(absent(700.0))
    run.advance(START + 710_000)
    if pause == "stop":
        restarted(run, 0)
        run.heartbeat()
    elif pause == "suspended":
        run.engine.woke(run.now)
    else:
        run.engine.broker(False, run.now)
        run.engine.broker(True, run.now)
    assert next_s(run) == 1
    run.advance(START + 800_000)
    assert run.engine.cause_of("s", "h") == "s/h"
    run.say("h/pressure_kpa", 300.0)
    run.advance(run.now + 1_000)
    assert run.engine.cause_of("s", "h") is None
    assert [each for each in events(run, "absent") if each[0] in ("raise", "clear")] == [
        ("raise", 700_000),
        ("clear", 800_000),
    ]


@pytest.mark.parametrize("speaks", [True, False])
def test_silence_that_only_begins_to_count_counts_anew_when_the_gateway_itself_did_not_run(speaks: bool) -> None:
    """What the device said while the gateway stood still lies in the broker yet: nobody is called before it can have
    been taken."""
    run = station(rule({**absent(700.0).model_dump(by_alias=True), "for_s": 20}))
    run.advance(START + 710_000)
    run.now += 60_000
    run.engine.woke(run.now)
    run.engine.advance(run.now)
    if speaks:
        run.say("h/pressure_kpa", 300.0)
    run.advance(run.now + 60_000)
    assert events(run, "absent") == ([] if speaks else [("raise", 790_000)])


def test_silent_device_that_its_agent_cannot_reach_is_gone_still() -> None:
    """An agent's word that the device does not answer is a reading, and no sign of life."""
    run = station(absent(700.0))
    run.advance(START + 710_000)
    run.say("h/online", False)
    run.advance(START + 720_000)
    assert run.engine.cause_of("s", "h") == "s/h"
    assert events(run, "absent") == [("raise", 700_000)]
    run.say("h/online", True)
    assert run.engine.cause_of("s", "h") is None
    assert events(run, "absent") == [("raise", 700_000), ("clear", 720_000)]


@pytest.mark.parametrize("how", ["last will", "no word"])
def test_silent_device_is_explained_as_soon_as_its_agent_is_lost(how: str) -> None:
    """An alarm about a silent device keeps still from the moment that its agent is known to be gone, however that is
    known, and speaks again when the agent is back and the device is silent still."""
    run = station(absent(700.0), LOST)
    run.advance(START + 710_000)
    run.agents["s", "edge"] = False
    if how == "last will":
        run.engine.agent_heard("s", "edge", False, run.now)
    run.advance(run.now + HEARD_MS + 1_000)
    assert events(run, "absent") == [("raise", 700_000), ("suppress", 710_000 + (HEARD_MS if how == "no word" else 0))]
    run.agents["s", "edge"] = True
    run.heartbeat()
    run.advance(run.now + 60_000)
    assert [event for event, _ in events(run, "absent")] == ["raise", "suppress", "release"]
