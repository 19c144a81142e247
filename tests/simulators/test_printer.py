"""The printing panel: bytes as published, at the pace of its line, with every event in the truth file."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.profile import PrinterVector
from simulators.printer import RESET, PrintedEvent, PrinterPanel, print_bytes, print_lines
from simulators.recorder import Recorder
from simulators.serial_line import SerialPort
from simulators.truth import read_truth
from tests.simulators.clients import Terminal, until
from tests.simulators.conftest import LIBRARY, Clock

FIRE = PrintedEvent("首次火警", 4, 4, "裙楼一层上空", "感烟探测器")


def test_bytes_are_those_of_the_vector_when_its_event_is_printed() -> None:
    """The published line comes out byte for byte."""
    vector = LIBRARY["panel-printer"].test_vector
    assert isinstance(vector, PrinterVector)
    lines = ["08/12/02  17:24", *print_lines(FIRE, 0)[1:]]
    assert print_bytes(lines).hex().upper() == vector.hex


def test_reset_has_no_address_when_printed() -> None:
    """A reset is head, two spaces and its word, with an empty line only at its end."""
    at_ms = int(datetime(2008, 12, 2, 9, 25, tzinfo=UTC).timestamp() * 1000)
    data = print_bytes(print_lines(PrintedEvent(RESET), at_ms))
    assert data == b"\x1b608/12/02  17:25\n  \n\x1b9" + RESET.encode("gb18030") + b"\n\n"


@pytest.mark.parametrize(
    ("word", "state"),
    [("首次火警", "fire"), ("火警后续", "fire"), ("故障", "fault"), ("故障恢复", "normal"), ("屏蔽", "disabled"),
     ("屏蔽解除", "normal"), ("反馈", "feedback"), ("反馈撤消", "normal"), ("自检", None), (RESET, None)],
)  # fmt: skip
def test_state_follows_from_the_word(word: str, state: str | None) -> None:
    """Each printed word means one state, or none."""
    assert PrintedEvent(word, 1, 2).state == state


async def test_truth_has_texts_and_states_when_events_were_printed(
    recorder: Recorder, tmp_path: Path, clock: Clock
) -> None:
    """Text lines stand at their instant, states hold until they change, a reset ends all that is active."""
    clock.ms = int(datetime(2008, 12, 2, 9, 24, tzinfo=UTC).timestamp() * 1000)
    heard: list[bool] = []
    events = (FIRE, PrintedEvent("火警后续", 4, 5, "裙楼一层上空", "手动按钮"), PrintedEvent(RESET))
    want = b"".join(print_bytes(print_lines(event, clock.ms)) for event in events)
    panel = PrinterPanel("panel", tmp_path / "prn", recorder, baud=115200)
    async with panel, Terminal(tmp_path / "prn") as terminal:
        for event in events:
            assert panel.print_event(event, heard.append)
        await until(lambda: len(heard) == 3 and len(terminal.received) == len(want), "three events")
        assert bytes(terminal.received) == want
    recorder.close()
    truth = read_truth(recorder.path)
    got = sorted((segment.point, str(segment.value)) for segment in truth.segments)
    assert got == [
        ("panel/l004p004", "fire"),
        ("panel/l004p004", "normal"),
        ("panel/l004p005", "fire"),
        ("panel/l004p005", "normal"),
        ("panel/printout", "08/12/02  17:24 | 004-004 | 首次火警 | 裙楼一层上空 | 感烟探测器"),
        ("panel/printout", "08/12/02  17:24 | 004-005 | 火警后续 | 裙楼一层上空 | 手动按钮"),
        ("panel/printout", "08/12/02  17:24 | 系统复位"),
    ]
    assert all(segment.printed for segment in truth.segments)
    assert truth.violations == []


async def test_event_is_no_faster_than_the_line_when_paced(recorder: Recorder, tmp_path: Path) -> None:
    """At 1200 baud a character takes 8.3 ms; an event cannot be out before its last one."""
    printed: list[float] = []
    event = PrintedEvent("故障", 1, 2)
    async with PrinterPanel("panel", tmp_path / "prn", recorder, baud=1200) as panel:
        start = time.monotonic()
        panel.print_event(event, lambda _: printed.append(time.monotonic()))
        await until(lambda: bool(printed), "the event")
    assert printed[0] - start >= len(print_bytes(print_lines(event, 0))) * 10 / 1200


async def test_event_is_refused_when_the_buffer_is_full(recorder: Recorder, tmp_path: Path) -> None:
    """A panel that prints faster than its line loses what does not fit, and says so."""
    async with PrinterPanel("panel", tmp_path / "prn", recorder, baud=1200) as panel:
        taken = [panel.print_event(FIRE) for _ in range(100)]
    assert taken == [True] * 64 + [False] * 36


async def test_event_is_gone_when_nobody_listens(recorder: Recorder, tmp_path: Path) -> None:
    """What is printed while nobody listens is no truth to anyone, and a later listener does not get it."""
    heard: list[bool] = []
    async with PrinterPanel("panel", tmp_path / "prn", recorder, baud=115200) as panel:
        panel.print_event(FIRE, heard.append)
        await until(lambda: heard == [False], "the event nobody hears")
        async with Terminal(tmp_path / "prn") as terminal:
            panel.print_event(PrintedEvent("故障", 1, 2), heard.append)
            await until(lambda: heard == [False, True], "the event that is heard")
            assert "首次火警".encode("gb18030") not in bytes(terminal.received)
    recorder.close()
    points = {segment.point for segment in read_truth(recorder.path).segments}
    assert points == {"panel/l001p002", "panel/printout"}


def test_write_says_so_when_the_line_takes_no_more(tmp_path: Path) -> None:
    """A line whose buffer is full takes nothing and blocks nobody."""
    port = SerialPort(tmp_path / "line")
    port.open()
    try:
        assert any(not port.write(bytes(1024)) for _ in range(1000))
    finally:
        port.close()


async def test_byte_is_a_violation_when_sent_to_a_printer_port(recorder: Recorder, tmp_path: Path) -> None:
    """Nothing may ever be sent to a printer port."""
    async with PrinterPanel("panel", tmp_path / "prn", recorder), Terminal(tmp_path / "prn") as terminal:
        os.write(terminal.fd, b"\x06")
        await until(lambda: recorder.violations == 1, "the byte")
