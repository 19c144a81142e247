"""Our own processes, kept running together."""

from __future__ import annotations

import signal
from pathlib import Path

from cli.processes import Family

SLEEPER = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); signal.pause()"
)


async def test_a_child_that_is_halted_stays_ended_until_it_is_resumed(tmp_path: Path) -> None:
    """One that only ends is started again; halting is no failure of the family."""
    async with Family(tmp_path) as family:
        child = await family.add("sleeper", "-c", SLEEPER)
        assert await child.next_line(20) == "up"
        assert child.process is not None
        child.process.send_signal(signal.SIGTERM)
        assert await child.lines.get() == "up"
        assert child.starts == 2
        await family.halt(child)
        assert (child.pid, child.starts, family.failed.is_set()) == (None, 2, False)
        await family.resume(child)
        assert await child.lines.get() == "up"
        assert (child.starts, family.failed.is_set()) == (3, False)
