"""From events to readings: what stands, what ends it, and how far it can be believed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contract.panel import MAX_EVENT, EventClass, PanelEvent, PanelStates, address_title, decode_event, encode_event
from contract.panel_profile import Panel, PanelVector
from contract.profile import ProfileLibrary
from edge_agents.panels.drivers import new_receiver
from edge_agents.panels.receiver import Frame, Noise
from edge_agents.panels.report import PanelEvents
from edge_agents.reporting import Reported, Reports
from tests.edge_agents.panels.samples import LISTENING, NOW_MS, events_of

PROFILES = [profile for profile in ProfileLibrary() if profile.panel is not None]
S = 1000


def event(kind: str, address: str | None = "l001p002", **more: Any) -> PanelEvent:
    """An event on one point."""
    return PanelEvent(event=EventClass(kind), received_ms=NOW_MS, address=address, **more)


def frame(*events: PanelEvent) -> Frame:
    """A good frame."""
    return Frame(b"x", {}, list(events))


def report(**more: Any) -> PanelEvents:
    """The report of a panel, just opened."""
    made = PanelEvents("panel", Panel(driver="jbf", **more), 600)
    made.opened(NOW_MS)
    return made


def shown(reports: Reports) -> list[tuple[str, object, str]]:
    """Readings without their time; the event's text only by its class."""
    return [
        (
            reading.point.partition("/")[2],
            str(decode_event(str(reading.value)).event) if reading.point.endswith("/event") else reading.value,
            reading.quality,
        )
        for reading in reports.alarm
    ]


@pytest.mark.parametrize("profile", PROFILES, ids=[profile.id for profile in PROFILES])
def test_frozen_vector_gives_its_events_when_decoded(profile: Any) -> None:
    """Each shipped panel profile's bytes give the events it states."""
    vector, panel = profile.test_vector, profile.panel
    assert isinstance(vector, PanelVector)
    receiver = new_receiver(panel.driver, {**panel.options, **LISTENING.get(panel.driver, {})})
    data = bytes.fromhex(vector.hex)
    events = [msgspec.to_builtins(e) for e in events_of(receiver.feed(data, 1) + receiver.flush(1))]
    assert [{name: made.get(name) for name in want} for made, want in zip(events, vector.events, strict=True)] == (
        vector.events
    )
    assert vector.events
    for made in events:
        found = profile.point(made["address"])
        assert found is not None
        assert found.lane == "alarm"


def test_fire_stands_when_a_fault_comes_and_goes_on_the_same_point() -> None:
    """A fault that is over must not hide the fire that stands."""
    states = PanelStates()
    seen = [
        states.apply(e)["l001p002"]
        for e in (event("fire"), event("fault"), event("fault", restored=True), event("fire", restored=True))
    ]
    assert seen == ["fire", "fire", "fire", "normal"]


def test_reset_ends_all_but_disablements_and_power_when_the_panel_is_reset() -> None:
    """What still stands is announced again by the panel; a disablement outlives the reset."""
    states = PanelStates()
    for one in (event("fire"), event("disablement", "l001p003"), event("main_power", None), event("bus", None)):
        states.apply(one)
    assert states.apply(event("reset", None)) == {"l001p002": "normal", "l001p003": "disabled", "bus": "normal"}
    assert states.state("main_power") == "fault"


def test_reset_leaves_other_controllers_alone_when_points_name_theirs() -> None:
    """Controller 2's reset is not controller 1's."""
    states = PanelStates()
    states.apply(event("fire", "c1l001p002"))
    states.apply(event("fire", "c2l001p002"))
    assert states.apply(event("reset", None, controller=2)) == {"c2l001p002": "normal"}
    assert states.state("c1l001p002") == "fire"


def test_fire_belongs_to_the_panel_when_it_names_no_point() -> None:
    """No fire is lost for want of an address."""
    assert PanelStates().apply(event("fire", None)) == {"controller": "fire"}


@pytest.mark.parametrize("kind", ["silence", "self_test", "test", "other", "unreadable"])
def test_states_stay_when_an_event_says_nothing_of_them(kind: str) -> None:
    """Such events are recorded and change no state."""
    states = PanelStates()
    states.apply(event("fire"))
    assert states.apply(event(kind)) == {}
    assert states.state("l001p002") == "fire"


def test_event_is_short_enough_when_everything_in_it_is_long() -> None:
    """The value on the wire keeps its bound whatever a panel prints."""
    long = event(
        "fire", text='"\\' * 2000, panel_time='"' * 500, device_zh="\x01" * 400, raw="FF" * 900, point="\\" * 300
    )
    text = encode_event(long)
    assert len(text) <= MAX_EVENT
    assert decode_event(text).event == "fire"


def test_changed_point_comes_before_its_event_when_a_frame_is_taken() -> None:
    """State first, then the record of what the panel said; equal events are both recorded."""
    panel = report()
    first = shown(panel.took([frame(event("fire"))], NOW_MS))
    assert first == [("online", True, "good"), ("l001p002", "fire", "good"), ("event", "fire", "good")]
    assert shown(panel.took([frame(event("fire"))], NOW_MS + 1)) == [("event", "fire", "good")]


def test_test_alarm_is_marked_when_it_comes() -> None:
    """What was produced on purpose has quality test, in the event and in the point."""
    panel = report()
    assert shown(panel.took([frame(event("test"))], NOW_MS))[1:] == [
        ("l001p002", "normal", "test"),
        ("event", "test", "test"),
    ]
    assert shown(panel.took([frame(event("test", restored=True))], NOW_MS))[0] == ("l001p002", "normal", "good")


def test_unreadable_is_reported_once_when_bytes_come_for_100_s_without_a_frame() -> None:
    """An unknown dialect is kept, shown and reported after 100 s; a good frame ends it."""
    panel = report()
    panel.took([frame(event("fire"))], NOW_MS)
    for second in range(100):
        panel.took([Noise(b"\x55\x66", 2, "no_frame")], NOW_MS + second * S)
        assert panel.tick(NOW_MS + second * S).alarm == []
    assert shown(panel.tick(NOW_MS + 100 * S)) == [
        ("event", "unreadable", "good"),
        ("online", True, "bad:unreadable"),
        ("protocol", "fault", "good"),
        ("l001p002", "fire", "uncertain:unreadable"),
    ]
    assert panel.tick(NOW_MS + 101 * S).alarm == []
    assert panel.unread == b"\x55\x66" * 64
    assert panel.counts["noise_bytes"] == 200
    assert shown(panel.took([frame()], NOW_MS + 102 * S)) == [
        ("online", True, "good"),
        ("protocol", "normal", "good"),
        ("l001p002", "fire", "uncertain:missed_events"),
    ]


def test_nothing_is_said_when_a_glitch_puts_a_few_bytes_on_the_line() -> None:
    """Plugging a cable is no dialect."""
    panel = report()
    panel.took([Noise(b"\x00\x00", 2, "no_frame")], NOW_MS)
    assert panel.tick(NOW_MS + 400 * S).alarm == []


def test_panel_is_offline_when_one_that_always_speaks_falls_silent() -> None:
    """Its points are unknown, never normal; when it is back they are uncertain until it speaks of them."""
    panel = report(silent_after_s=10)
    panel.took([frame(event("fault"))], NOW_MS)
    assert panel.tick(NOW_MS + 9 * S).alarm == []
    assert shown(panel.tick(NOW_MS + 10 * S)) == [("online", False, "good"), ("l001p002", None, "unknown:no_answer")]
    assert shown(panel.took([frame()], NOW_MS + 20 * S)) == [
        ("online", True, "good"),
        ("l001p002", "fault", "uncertain:missed_events"),
    ]
    assert shown(panel.took([frame(event("reset", None))], NOW_MS + 21 * S))[0] == ("l001p002", "normal", "good")


def test_points_are_unknown_when_the_line_is_down_and_uncertain_when_it_is_back() -> None:
    """What was told meanwhile was missed."""
    panel = report()
    panel.took([frame(event("fire"))], NOW_MS)
    assert shown(panel.line_down(NOW_MS)) == [("online", None, "unknown:line"), ("l001p002", None, "unknown:line")]
    assert shown(panel.opened(NOW_MS)) == [
        ("online", True, "uncertain:no_traffic"),
        ("l001p002", "fire", "uncertain:missed_events"),
    ]


def test_states_are_taken_up_when_the_agent_restarts() -> None:
    """A fire known before a restart is not repeated as new, and is uncertain until the panel speaks."""
    panel = PanelEvents("panel", Panel(driver="jbf"), 600)
    kept = {
        "panel/l001p002": Reported("fire", "good", NOW_MS),
        "panel/event": Reported("{}", "good", NOW_MS),
        "other/l009p009": Reported("fire", "good", NOW_MS),
    }
    panel.restore(kept)
    assert panel.states == {"l001p002": "fire"}
    assert ("l001p002", "fire", "uncertain:missed_events") in shown(panel.opened(NOW_MS + S))


def test_values_are_repeated_when_nothing_was_reported_for_long() -> None:
    """The gateway hears of every state within the profile's silence, and of no event twice."""
    panel = report()
    panel.took([frame(event("fire"))], NOW_MS)
    assert panel.tick(NOW_MS + 599 * S).alarm == []
    assert [name for name, _, _ in shown(panel.tick(NOW_MS + 601 * S))] == ["online", "l001p002"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("l004p012", ("回路 4 地址 12", "Loop 4 point 12")),
        ("c2l004d012", ("控制器 2 回路 4 探测器 12", "Controller 2 loop 4 detector 12")),
        ("p001004", ("编码 001004", "Code 001004")),
        ("main_power", ("主电", "Main power")),
        ("pressure_kpa", None),
        ("l4p12", None),
    ],
)
def test_address_has_a_title_when_it_is_one(name: str, title: tuple[str, str] | None) -> None:
    """Points nobody named have a readable title; names of other points are no addresses."""
    assert address_title(name) == title
