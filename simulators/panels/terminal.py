"""A simulated panel on a pseudo-terminal: paced, split anywhere, with noise between frames where told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import termios
import time
from pathlib import Path
from typing import Self

from simulators.panels.panel import SimulatedPanel
from simulators.serial_line import SerialPort

_STEP_S = 0.01
_MARK = 0o10000000000 | termios.PARODD
"""CMSPAR and PARODD: the ninth bit is set."""


class PanelTerminal:
    """`async with PanelTerminal(panel, link)`: the panel talks on the slave named by `link`.

    Args:
        panel: what talks.
        link: where the symbolic link to the slave goes.
        seed: of splits and noise.
        noise: bytes of noise before each frame, at most.
        most: bytes of one write, at most; a frame is split into pieces of random size.
    """

    def __init__(self, panel: SimulatedPanel, link: Path, *, seed: int = 1, noise: int = 0, most: int = 16) -> None:
        self.panel = panel
        self._port = SerialPort(link)
        self._random = random.Random(seed)  # noqa: S311  # a seeded story, no secret
        self._noise = noise
        self._most = most
        self._watch = -1
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._port.open()
        self._watch = os.open(self._port.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._task = asyncio.create_task(self._run(), name="panel terminal")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._watch >= 0:
            os.close(self._watch)
            self._watch = -1
        self._port.close()

    async def say_raw(self, data: bytes) -> None:
        """Put bytes on the line as they are."""
        self._port.write(data)

    async def _run(self) -> None:
        last_s = time.monotonic()
        while True:
            data = self._port.read()
            if data:
                await self._send(self.panel.hear(data, mark=self._is_mark()), noise=0)
            now_s = time.monotonic()
            await self._send(self.panel.push(now_s - last_s), noise=self._noise)
            last_s = now_s
            await asyncio.sleep(_STEP_S)

    async def _send(self, data: bytes, *, noise: int) -> None:
        if data and noise:
            data = self._random.randbytes(self._random.randrange(noise)) + data
        while data:
            size = self._random.randint(1, self._most)
            self._port.write(data[:size])
            data = data[size:]
            await asyncio.sleep(0)

    def _is_mark(self) -> bool:
        flags: int = termios.tcgetattr(self._watch)[2]
        return flags & _MARK == _MARK
