"""What a transmitter's words make of its points."""

from __future__ import annotations

from contract.gb26875.codec import decode_frame
from contract.gb26875.stream import FrameStream
from contract.gb26875.tables import Tables
from contract.panel_profile import TransmitterVector
from contract.profile import ProfileLibrary
from edge_agents.drivers.gb26875.picture import Picture
from simulators.gb26875 import frames as g

SOURCE = bytes.fromhex("790000000001")
NOW = 1_760_000_000_000


def picture_of(*units: bytes, command: int = g.DATA) -> tuple[Picture, dict[str, float], list[tuple[str, bool]]]:
    """The picture after these units, the values told, and (class, restored) of the events."""
    return _fold(b"".join(g.frame(n, command, unit, source=SOURCE) for n, unit in enumerate(units)))


def _fold(raw: bytes) -> tuple[Picture, dict[str, float], list[tuple[str, bool]]]:
    picture, values, events = Picture(Tables()), {}, []
    for found in FrameStream().feed(raw):
        assert found.frame is not None
        for said in picture.apply(decode_frame(found.frame, Tables()), NOW, ""):
            values |= {value.point: value.value for value in said.values}
            events += [(str(event.event), event.restored) for event in said.events]
    return picture, values, events


def test_frozen_frames_give_their_states_when_they_are_decoded() -> None:
    """The vector of the profile."""
    vector = ProfileLibrary()["panel-gb26875"].test_vector
    assert isinstance(vector, TransmitterVector)
    picture, values, _ = _fold(bytes.fromhex(vector.hex))
    assert picture.states == vector.states
    assert values == vector.values


def test_every_point_has_a_name_for_people_when_the_profile_is_asked() -> None:
    """States and measured values alike."""
    profile = ProfileLibrary()["panel-gb26875"]
    for name in ("c1001p00010203", "c1001controller", "main_power", "c11001p00000005_pressure_kpa", "mode"):
        point = profile.point(name)
        assert point is not None
        assert point.title.zh


def test_a_systems_fire_gives_way_when_it_is_told_where_it_burns() -> None:
    """One fire is one fire: the system's own word stands only until the component is known, and never hides it."""
    fire = g.component_status(1, 1, 42, 7, 2, "", NOW)
    picture, _, _ = picture_of(g.system_status(1, 1, 2, NOW))
    assert picture.states == {"c1001controller": "fire"}
    picture, _, _ = picture_of(g.system_status(1, 1, 2, NOW), fire)
    assert picture.states == {"c1001controller": "normal", "c1001p00000007": "fire"}
    picture, _, _ = picture_of(fire, g.system_status(1, 1, 2, NOW))
    assert picture.states == {"c1001p00000007": "fire", "c1001controller": "normal"}


def test_dismissing_an_alarm_ends_its_fires_only_when_it_is_told() -> None:
    """Operation bit 3 (警情消除) takes fires back; faults and other systems' fires stand."""
    picture, _, events = picture_of(
        g.component_status(1, 1, 42, 1, 2, "", NOW),
        g.component_status(1, 1, 42, 2, 4, "", NOW),
        g.component_status(12, 1, 96, 3, 2, "", NOW),
        g.operation(1, 1, 0b1000, 4, NOW),
    )
    assert picture.states == {"c1001p00000001": "normal", "c1001p00000002": "fault", "c12001p00000003": "fire"}
    assert ("fire", True) in events


def test_the_transmitters_own_state_is_told_apart_when_it_reports_itself() -> None:
    """Its power is not the panel's."""
    picture, _, _ = picture_of(g.transmitter_status(0b0001001, NOW), g.system_status(1, 1, 0x0200, NOW))
    assert picture.states == {
        "controller": "normal", "main_power": "fault", "c1001controller": "normal", "c1001standby_power": "fault",
    }  # fmt: skip


def test_a_manual_alarm_at_the_panel_is_a_fire_when_it_is_told() -> None:
    """Somebody pressed it: bit 2 of an operation."""
    picture, _, _ = picture_of(g.operation(1, 1, 0b100, 4, NOW))
    assert picture.states == {"c1001controller": "fire"}


def test_what_nobody_can_read_changes_nothing_when_it_is_told() -> None:
    """A private type is an event with its bytes."""
    picture, _, events = picture_of(bytes((200, 1, 1, 2, 3)))
    assert picture.states == {}
    assert events == [("other", False)]


def test_a_transmitter_that_names_too_many_points_is_still_told_when_it_burns() -> None:
    """Beyond the bound nothing new is kept, but every event is told."""
    units = [g.component_status(1, 1, 42, n, 2, "", NOW) for n in range(4010)]
    picture, _, events = picture_of(*units)
    assert len(picture.states) == 4000
    assert len(events) == 4010
