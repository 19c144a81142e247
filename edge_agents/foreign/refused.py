"""What could not be read, kept for inspection in one bounded file a line: `refused/<line>.jsonl`, newest at the end."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from pathlib import Path

FOLDER = "refused"
MAX_FILE_BYTES = 256 * 1024
"""A file that has grown beyond this becomes `.old`, in place of the one before."""
MAX_WAITING = 200
MAX_KEPT = 1024
"""Bytes kept of one payload."""


class RefusedFile:
    """Messages waiting to be written, and the file.

    Args:
        data_dir: the agent's folder.
        line: whose messages.
    """

    def __init__(self, data_dir: Path, line: str) -> None:
        self._path = data_dir / FOLDER / f"{line}.jsonl"
        self._waiting: deque[str] = deque()
        self.dropped = 0
        """Messages not kept because too many came between two writes, or the disk took none."""

    async def settle(self) -> None:
        """Write what waits, in a thread; at once when nothing does."""
        if self._waiting:
            await asyncio.to_thread(self.write)

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting)

    def add(self, at_ms: int, topic: str, why: str, payload: bytes) -> None:
        """Take one message; beyond MAX_WAITING the oldest is given up."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        entry = {"received_ms": at_ms, "topic": topic[:200], "why": why[:300], "bytes": len(payload)}
        self._waiting.append(json.dumps(entry | {"hex": payload[:MAX_KEPT].hex()}, ensure_ascii=False) + "\n")

    def write(self) -> None:
        """Write what waits; blocking. A disk that takes nothing loses these messages, not their count."""
        entries = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            self._path.parent.mkdir(exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > MAX_FILE_BYTES:
                self._path.replace(self._path.with_suffix(".old"))
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(entries)
        except OSError:
            self.dropped += len(entries)
