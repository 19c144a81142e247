"""Printed lines into events."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.profile import PrinterVector, ProfileLibrary
from edge_agents.drivers.printer import MAX_EVENT_BYTES, PrintedEvent, PrinterDecoder

PROFILE = ProfileLibrary()["panel-printer"]
RESET = b"\x1b608/12/02  17:25\n  \n\x1b9" + "系统复位".encode("gb18030") + b"\n\n"


def new_decoder() -> PrinterDecoder:
    """A decoder of the shipped printer profile."""
    assert PROFILE.printer is not None
    return PrinterDecoder(PROFILE.printer)


def vector() -> tuple[bytes, list[tuple[str, str]]]:
    """The profile's frozen bytes and readings."""
    assert isinstance(PROFILE.test_vector, PrinterVector)
    return bytes.fromhex(PROFILE.test_vector.hex), PROFILE.test_vector.readings


@settings(deadline=None)
@given(st.lists(st.integers(0, 100), max_size=12))
def test_the_frozen_vector_decodes_when_cut_anywhere(cuts: list[int]) -> None:
    """The published fire event gives its point, state and text however the bytes arrive."""
    data, readings = vector()
    decoder = new_decoder()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    events = [event for a, b in itertools.pairwise(edges) for event in decoder.feed(data[a:b])]
    assert events == [PrintedEvent(readings[1][1], readings[0][0], readings[0][1], False)]


def test_a_reset_has_no_point() -> None:
    """系统复位 resets the panel and names no point."""
    assert new_decoder().feed(RESET) == [PrintedEvent("08/12/02  17:25 | 系统复位", None, None, True)]


@pytest.mark.parametrize(
    ("text", "state"),
    [("故障", "fault"), ("故障恢复", "normal"), ("屏蔽", "disabled"), ("屏蔽解除", "normal"), ("反馈", "feedback")],
)
def test_a_word_gives_its_state(text: str, state: str) -> None:
    """What comes and what goes are told apart."""
    (event,) = new_decoder().feed(f"  012-034\n{text}\n\n".encode("gb18030"))
    assert (event.point, event.state) == ("l012p034", state)


def test_filler_is_dropped_and_stars_in_text_stay_when_both_come() -> None:
    """The filler byte between events is no text; within a line it is."""
    assert new_decoder().feed(b"***\n***003-004 a*b\n\n*")[0].text == "003-004 a*b"


def test_an_event_without_an_end_is_kept_until_flushed() -> None:
    """A quiet line ends what was begun."""
    decoder = new_decoder()
    assert decoder.feed("003-004\n火警\n".encode("gb18030")) == []
    assert decoder.is_within_event
    assert [event.state for event in decoder.flush()] == ["fire"]
    assert not decoder.is_within_event


@settings(deadline=None)
@given(st.binary(max_size=6000))
def test_any_bytes_are_taken_when_a_panel_prints_rubbish(data: bytes) -> None:
    """No bytes raise, and what is held stays bounded."""
    decoder = new_decoder()
    for event in decoder.feed(data) + decoder.flush():
        assert len(event.text) <= 2000
        assert "\x1b" not in event.text


def test_a_line_without_an_end_is_cut_and_stays_cheap() -> None:
    """Fifty thousand characters made to defeat backtracking cost little."""
    began = time.process_time()
    events = new_decoder().feed(b"123-456" * 8000)
    assert len(events) == 56000 // MAX_EVENT_BYTES
    assert time.process_time() - began < 5
