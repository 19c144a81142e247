"""`weizhan gb26875 listen` on a real port."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from simulators.gb26875 import frames as g
from simulators.gb26875.transmitter import Habits, SimulatedTransmitter
from tests.parts.process import free_port

ADDRESS = bytes.fromhex("790000000001")


@pytest.mark.parametrize("confirms", [True, False])
async def test_it_shows_and_keeps_what_comes_and_confirms_only_when_told_to(tmp_path: Path, confirms: bool) -> None:
    """The frame is shown as JSON, its bytes are in the capture, and only --confirm answers."""
    port, capture = free_port(), tmp_path / "capture.bin"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", "gb26875", "listen", str(port), "--json", "--capture", str(capture),
        *(["--confirm"] if confirms else []), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    habits = Habits(heartbeat=None)
    try:
        async with SimulatedTransmitter(ADDRESS, "127.0.0.1", port, habits=habits, timeout_s=1.0) as uitd:
            telling = asyncio.create_task(uitd.component(1, 2, "三层东走道"))
            shown = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
            assert shown["decoded"]["unit"]["objects"][0]["comp_addr"] == 1
            if confirms:
                await asyncio.wait_for(telling, 10)
                assert uitd.counts.confirmed == 1
            else:
                await asyncio.wait_for(process.stdout.readline(), 20)  # it came again: nobody confirmed
                assert uitd.counts.confirmed == 0
            telling.cancel()
        assert g.take_apart(bytearray(await asyncio.to_thread(capture.read_bytes)))[0].source == ADDRESS
    finally:
        process.terminate()
        await process.wait()


async def test_confirming_is_refused_when_nothing_is_kept() -> None:
    """What is confirmed is gone from the transmitter: it must be somewhere."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", "gb26875", "listen", "5001", "--confirm", stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode != 0
    assert b"--capture" in said
