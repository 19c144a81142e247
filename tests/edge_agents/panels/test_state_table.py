"""Tables of states into events: what comes, what goes, what gives way to another."""

from __future__ import annotations

import pytest

from contract.panel import PanelStates
from edge_agents.panels.gst_modbus import StateTable
from tests.edge_agents.panels.samples import NOW_MS, events_of, read_all
from tests.simulators.clients import crc

GST200, GST5000 = StateTable("gst200"), StateTable("gst5000")


def told(table: StateTable, old: dict[int, int] | None, new: dict[int, int]) -> list[tuple[str, str | None]]:
    """Class (with `-` when over) and point of each event."""
    return [(("-" if e.restored else "") + e.event, e.address) for e in table.diff(old, new, NOW_MS)]


def test_only_what_is_not_normal_is_told_when_the_first_table_is_read() -> None:
    """A first read tells the present state; the high byte of a register says nothing."""
    assert told(GST200, None, {0: 0, 1: 0x0101, 2: 4, 3: 7, 242: 2, 243: 9, 244: 0}) == [
        ("fire", "p002"), ("disablement", "p004"), ("main_power", "main_power"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        (0, 1, ["fire"]), (1, 1, []), (1, 4, ["-fire"]), (1, 0x0501, []), (1, 2, ["-fire", "fault"]),
        (7, 8, ["-disablement"]), (5, 6, ["-start"]), (2, 9, ["-fault"]), (4, 9, []), (3, 99, ["-feedback", "other"]),
    ],
)  # fmt: skip
def test_events_follow_from_two_codes_when_a_register_changes(old: int, new: int, want: list[str]) -> None:
    """What gave way ends before what came begins; a code without meaning is said, not guessed."""
    assert [kind for kind, _ in told(GST200, {5: old}, {5: new})] == want


def test_state_agrees_with_the_table_when_its_events_are_folded() -> None:
    """The states made of the events are those of the last table."""
    states, old = PanelStates(), None
    for word in (0, 2, 1, 7, 8, 3, 5, 6, 1, 9):
        new = {5: word}
        for event in GST200.diff(old, new, NOW_MS):
            states.apply(event)
        want = {1: "fire", 2: "fault", 3: "feedback", 5: "started", 7: "disabled"}.get(word, "normal")
        assert states.state("p006") == want
        old = new


@pytest.mark.parametrize(
    ("register", "address"),
    [(240, "l001p001"), (479, "l001p240"), (480, "l002p001"), (4998, "main_power"), (4999, "standby_power"), (5, None)],
)
def test_register_has_its_point_when_the_panel_is_a_gst5000(register: int, address: str | None) -> None:
    """Register = loop x 240 + address - 1; what is below loop 1 is none of the panel's."""
    found = GST5000.address(register)
    assert (found[0] if found else None) == address


def test_events_come_of_a_line_when_another_master_reads_the_panel() -> None:
    """Requests and answers on the line give events; an answer to an unheard request gives none."""
    request = bytes((1, 3, 0, 0, 0, 2))
    calm, fire = bytes((1, 3, 4, 0, 0, 0, 0)), bytes((1, 3, 4, 0, 0, 0, 1))
    line = b"".join(frame + crc(frame) for frame in (request, calm, request, fire, fire))
    assert [(event.event, event.address) for event in events_of(read_all("gst_modbus", line))] == [("fire", "p002")]


def test_frame_of_a_writing_function_is_no_frame_when_heard() -> None:
    """Only functions that read are taken."""
    write = bytes((1, 6, 0, 0, 0, 2))
    assert events_of(read_all("gst_modbus", write + crc(write))) == []
