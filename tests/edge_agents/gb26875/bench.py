"""A line of transmitters on a real port with a real outbox, and what it has recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from contract.messages import LANES, Reading
from contract.profile import ProfileLibrary
from contract.site import load_site
from edge_agents.drivers.gb26875.line import TransmitterLine
from edge_agents.foreign.refused import RefusedFile
from edge_agents.outbox import Outbox
from edge_agents.recorder import Recorder
from edge_agents.settings import OutboxSettings
from tests.parts.process import free_port

ADDRESS = bytes.fromhex("790000000001")
SITE = """\
site: s1
title: {{zh: 站, en: Station}}
agents:
  - id: a1
    lines:
      - id: uitd
        kind: gb26875
        port: {port}
        transport: both
        silent_after_s: {silent_after_s}
        devices:
          - {{id: uitd-01, profile: panel-gb26875, address: "{address}"}}
"""


class Recorded:
    """A running line and everything it has on disk."""

    def __init__(self, line: TransmitterLine, outbox: Outbox, port: int) -> None:
        self.line = line
        self.port = port
        self._outbox = outbox

    async def readings(self, device: str = "uitd-01") -> list[Reading]:
        """Readings of a device, in order, both lanes."""
        found: list[Reading] = []
        for lane in LANES:
            for row in await self._outbox.peek(lane, 0, 100_000):
                found += msgspec.json.decode(row.body, type=list[Reading])
        return [reading for reading in found if reading.point.startswith(f"{device}/")]

    async def state(self, point: str, device: str = "uitd-01") -> tuple[object, str] | None:
        """Last value and quality on disk of a point."""
        last = [r for r in await self.readings(device) if r.point == f"{device}/{point}"]
        return (last[-1].value, last[-1].quality) if last else None


@asynccontextmanager
async def recorded(folder: Path, *, silent_after_s: float = 300.0) -> AsyncIterator[Recorded]:
    """A line that runs."""
    port = free_port()
    path = folder / "site.yaml"
    path.write_text(SITE.format(port=port, silent_after_s=silent_after_s, address=ADDRESS.hex()), "utf-8")
    site = load_site(path, ProfileLibrary())
    placed = list(site.placed())

    def now_ms() -> int:
        return time.time_ns() // 1_000_000

    (folder / "data").mkdir()
    async with Outbox(folder / "data", OutboxSettings(), now_ms) as outbox:
        recorder = Recorder(outbox, 50, 10_000, lambda _: None)
        refused = RefusedFile(folder / "data", "uitd")
        line = TransmitterLine(placed[0].line, placed, {}, recorder, now_ms, refused)  # type: ignore[arg-type] # its kind
        tasks = [asyncio.create_task(recorder.run(), name="recorder"), asyncio.create_task(line.run(), name="line")]
        try:
            async with asyncio.timeout(10):
                while not line.is_open:
                    await asyncio.sleep(0.005)
            yield Recorded(line, outbox, port)
        finally:
            for task in reversed(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
