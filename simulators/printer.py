"""An alarm panel's printer port on a pseudo-terminal: GB 18030 text with ESC sequences, paced at the baud rate.

    1B 36 "08/12/02  17:24" 0A  two spaces "004-004" 0A  1B 39 "首次火警" 0A "裙楼一层上空" 0A "感烟探测器" 0A 0A

A reset (系统复位) has two spaces in place of the address and neither place nor device line.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple, Self

from simulators.recorder import Recorder
from simulators.serial_line import SerialPort, character_s

_CHINA = timezone(timedelta(hours=8))
_CHUNK = 16
_LISTEN_S = 1.0
_LOOK_S = 0.005
_WAITING = 64
_STATES = (
    ("火警", "fire"), ("故障恢复", "normal"), ("屏蔽解除", "normal"), ("反馈撤消", "normal"),
    ("故障", "fault"), ("屏蔽", "disabled"), ("反馈", "feedback"),
)  # fmt: skip
"""What a word means for the addressed point; the first that stands in it."""
RESET = "系统复位"


class PrintedEvent(NamedTuple):
    """One event as the panel prints it."""

    word: str
    loop: int = 0
    point: int = 0
    place: str = ""
    device: str = ""

    @property
    def resets(self) -> bool:
        """Whether it puts every point back to normal."""
        return self.word == RESET

    @property
    def state(self) -> str | None:
        """State of the addressed point after this event; None when it changes none."""
        return None if self.resets else next((state for word, state in _STATES if word in self.word), None)

    @property
    def name(self) -> str:
        """Name of the addressed point."""
        return f"l{self.loop:03d}p{self.point:03d}"


def print_lines(event: PrintedEvent, at_ms: int) -> list[str]:
    """The text lines of an event; the panel's clock is China Standard Time and shows minutes."""
    clock = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(_CHINA).strftime("%y/%m/%d  %H:%M")
    if event.resets:
        return [clock, "  ", event.word]
    return [clock, f"  {event.loop:03d}-{event.point:03d}", event.word, event.place, event.device]


def print_bytes(lines: list[str]) -> bytes:
    """The bytes of an event: small font for the head, large from the word on, an empty line after it."""
    head, rest = lines[:2], lines[2:]
    text = [b"\x1b6" + _encode(head[0]), _encode(head[1]), b"\x1b9" + _encode(rest[0]), *map(_encode, rest[1:])]
    return b"\n".join(text) + b"\n\n"


class PrinterPanel:
    """`async with PrinterPanel(name, link, recorder) as panel`; `panel.print_event(...)` queues an event.

    An event that nobody takes off the line within a second is gone, and is not in the truth file.

    At most 64 events wait for the line; more are refused, as a full printer buffer refuses them.
    """

    def __init__(
        self,
        name: str,
        link: Path,
        recorder: Recorder,
        *,
        baud: int = 9600,
        parity: bool = False,
        stop_bits: int = 1,
    ) -> None:
        self.name = name
        self.link = link
        self._recorder = recorder
        self._char_s = character_s(baud, parity=parity, stop_bits=stop_bits)
        self._port = SerialPort(link)
        self._waiting: asyncio.Queue[tuple[PrintedEvent, Callable[[bool], None] | None]] = asyncio.Queue(_WAITING)
        self._active: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._port.open()
        asyncio.get_running_loop().add_reader(self._port.master, self._heed)
        self._task = asyncio.create_task(self._print_all(), name=f"printer {self.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._port.master >= 0:
            asyncio.get_running_loop().remove_reader(self._port.master)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._port.close()

    def print_event(self, event: PrintedEvent, on_printed: Callable[[bool], None] | None = None) -> bool:
        """Queue an event; `on_printed` is called after its last byte with whether anybody took it.

        False when the buffer is full."""
        try:
            self._waiting.put_nowait((event, on_printed))
        except asyncio.QueueFull:
            return False
        return True

    def _heed(self) -> None:
        """A printer port has nothing to hear: any byte that arrives breaks monitor-only."""
        data = self._port.read()
        if data:
            self._recorder.record_violation(self.name, 0, data)

    async def _print_all(self) -> None:
        while True:
            event, on_printed = await self._waiting.get()
            lines = print_lines(event, self._recorder.now_ms())
            whole = await self._send(print_bytes(lines))
            at_ms = self._recorder.now_ms()
            heard = whole and await self._taken()
            if heard:
                self._record(event, lines, at_ms)
            else:
                self._port.discard()
            if on_printed is not None:
                on_printed(heard)

    async def _send(self, data: bytes) -> bool:
        whole = True
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            await asyncio.sleep(len(chunk) * self._char_s)
            whole = self._port.write(chunk) and whole
        return whole

    async def _taken(self) -> bool:
        """Whether somebody took the bytes off the line; without a listener they were never an event to anyone."""
        deadline = time.monotonic() + _LISTEN_S
        while self._port.unread():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    def _record(self, event: PrintedEvent, lines: list[str], at_ms: int) -> None:
        text = " | ".join(line.strip() for line in lines if line.strip())
        self._recorder.record_line(f"{self.name}/printout", text, at_ms)
        if event.resets:
            for name in sorted(self._active):
                self._recorder.change(f"{self.name}/{name}", "normal", "good", printed=True, at_ms=at_ms)
            self._active.clear()
        elif event.state is not None:
            self._recorder.change(f"{self.name}/{event.name}", event.state, "good", printed=True, at_ms=at_ms)
            if event.state == "normal":
                self._active.discard(event.name)
            else:
                self._active.add(event.name)


def _encode(text: str) -> bytes:
    return text.encode("gb18030")
