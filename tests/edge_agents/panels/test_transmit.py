"""What may leave this machine: the list of each protocol, proven by recording everything that was ever due."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import DeviceError
from contract.panel_profile import UNCALLABLE, Panel
from edge_agents.bus.panel_session import PanelSession
from edge_agents.panels.drivers import DRIVERS, new_receiver
from edge_agents.panels.receiver import Frame, Noise, Receiver, Transmission
from edge_agents.panels.report import PanelEvents
from tests.edge_agents.panels.samples import BY_DRIVER, NOW_MS

ASKING: dict[str, dict[str, Any]] = {"jbf": {"asks": True}, "gst_crt": {"controller": 7}}
QUESTION = re.escape(bytes.fromhex("82" + "30" * 24 + "83"))
MAY_SEND: dict[str, bytes] = {
    "jbf": QUESTION,
    "gst_crt": b"\x07\x00|\x0f|\x1f",
    "ld128e": b"\x20",
    "songjiang": rb"\xfe.\x64\x01\x00\x64..\xff",
    "sia_dc09": rb'\n[0-9A-F]{8}"(ACK|NAK|DUH)"[^\r\n]*\[\](_[0-9:,-]+)?\r',
}
"""Written here a second time, from the makers' papers: the drivers' own list is not asked."""
CONTROL = (0x5F, 0x1B, 0x0C)


@pytest.mark.parametrize("driver", DRIVERS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_only_listed_bytes_are_due_when_anything_at_all_is_heard(driver: str, data: st.DataObject) -> None:
    """Whatever comes in, whole frames, pieces and noise at any time, nothing is sent but poll and acknowledgement."""
    receiver, now_ms, sent = new_receiver(driver, ASKING.get(driver)), NOW_MS, list[bytes]()
    pieces = st.one_of(
        st.sampled_from(BY_DRIVER[driver]), st.binary(max_size=40), st.sampled_from([b"\x07", b"\x07\0"])
    )
    for piece in data.draw(st.lists(pieces, max_size=30)):
        now_ms += data.draw(st.integers(0, 1500))
        sent += [transmission.data for transmission in receiver.due(now_ms)]
        receiver.feed(piece, now_ms)
        if data.draw(st.booleans()):
            receiver.flush(now_ms)
        sent += [transmission.data for transmission in receiver.due(now_ms)]
    allowed = MAY_SEND.get(driver)
    for one in sent:
        assert allowed is not None
        assert re.fullmatch(allowed, one, re.DOTALL)
        assert receiver.permits(one)
        if driver == "gst_crt":
            assert not set(CONTROL) & set(one)


@pytest.mark.parametrize("driver", [name for name in DRIVERS if name not in MAY_SEND])
def test_nothing_may_be_sent_when_a_protocol_only_listens(driver: str) -> None:
    """Listening drivers have an empty list."""
    receiver = new_receiver(driver)
    assert not any(receiver.permits(bytes((byte,))) for byte in range(256))


@pytest.mark.parametrize("driver", DRIVERS)
@settings(deadline=None, max_examples=50)
@given(data=st.binary(max_size=40))
def test_gate_refuses_when_bytes_are_not_listed(driver: str, data: bytes) -> None:
    """What is not of the form in the maker's paper is not permitted."""
    allowed = MAY_SEND.get(driver)
    if allowed is None or not re.fullmatch(allowed, data, re.DOTALL):
        assert not new_receiver(driver, ASKING.get(driver)).permits(data)


@pytest.mark.parametrize("byte", [*range(0x20), 0x5F, 0xFF])
def test_gst_control_bytes_cannot_be_sent_when_tried(byte: int) -> None:
    """Reset, silence, start, isolate: none is on the list, whatever the controller's address."""
    if byte in UNCALLABLE or byte == 0:
        with pytest.raises(ValueError, match="Set another address"):
            DRIVERS["gst_crt"](byte)
        return
    receiver = DRIVERS["gst_crt"](byte)
    for forbidden in (b"\x5f", b"\x1b", b"\x0c\x0c", b"\x0c", bytes((byte, 0x5F)), b"\x0f\x5f"):
        assert not receiver.permits(forbidden)


@pytest.mark.parametrize(
    ("driver", "options"), [("jbf", {}), ("gst_crt", {"calls": False}), ("ld128e", {"asks": False})]
)
def test_nothing_is_due_when_only_listening_was_asked_for(driver: str, options: dict[str, Any]) -> None:
    """A driver set to listen neither polls nor permits it."""
    receiver = new_receiver(driver, options)
    assert [receiver.due(NOW_MS + ms) for ms in range(0, 5000, 50)] == [[]] * 100
    assert not any(receiver.permits(data) for data in (b"\x20", b"\x0f", b"\x1f", b"\x01\x00"))


class _Faulty(Receiver):
    """A receiver with a fault: it wants to reset the panel."""

    def feed(self, data: bytes, now_ms: int) -> list[Frame | Noise]:
        return []

    def flush(self, now_ms: int) -> list[Frame | Noise]:
        return []

    def due(self, now_ms: int) -> list[Transmission]:
        return [Transmission(b"\x5f")]


async def test_session_sends_nothing_when_a_receiver_asks_for_more_than_its_list() -> None:
    """The gate stands where bytes leave, not in the receiver."""
    report = PanelEvents("panel", Panel(driver="gst_crt"), 600)
    session = PanelSession(_Faulty(), report, list[Any]().append, lambda: True, lambda: NOW_MS)
    sent: list[Transmission] = []

    async def write(transmission: Transmission) -> None:
        sent.append(transmission)

    with pytest.raises(DeviceError, match="forbidden: got 5f to send"):
        await session.transmit(write)
    assert sent == []


async def test_acknowledgement_is_left_out_when_the_disk_takes_nothing() -> None:
    """Acknowledged means durable: a panel whose event is not on disk keeps it and sends it again."""
    report = PanelEvents("panel", Panel(driver="songjiang"), 600)
    is_durable, sent, recorded = [False], list[Transmission](), list[Any]()
    session = PanelSession(
        new_receiver("songjiang"), report, recorded.append, lambda: is_durable[0], lambda: NOW_MS
    )  # fmt: skip

    async def write(transmission: Transmission) -> None:
        sent.append(transmission)

    session.take(BY_DRIVER["songjiang"][0])
    await session.transmit(write)
    assert (sent, session.unacknowledged) == ([], 1)
    is_durable[0] = True
    session.take(BY_DRIVER["songjiang"][0])
    await session.transmit(write)
    assert len(sent) == 1
    fires = [r for reports in recorded for r in reports.alarm if r.value == "fire"]
    assert [reading.point for reading in fires] == ["panel/l003p030", "panel/l003p029"]
