"""A gateway as a process of its own, and the agent's side of the contract written for tests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiomqtt
import uvloop

from contract.messages import LANES, Batch, Lane, Reading, decode_receipt, encode
from contract.mqtt import MqttSettings
from contract.topics import DEFAULT_ROOT, topic
from gateway.app import run
from gateway.control.client import SOCKET
from gateway.history.settings import EmbeddedSettings
from gateway.settings import GatewaySettings
from tests.gateway.harness import state, until, write_site


class GatewayProcess:
    """`gateway.app.run` in a process; `with` ends it."""

    def __init__(self, folder: Path, port: int, **settings: Any) -> None:
        """`settings` go over those of `start`."""
        self.folder = folder
        self._settings = settings
        self.data_dir = folder / "data"
        self._port = port
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> GatewayProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> subprocess.Popen[str]:
        """Start it; `listening` tells when it is up."""
        settings = {"sites": [str(write_site(self.folder))], "data_dir": str(self.data_dir), "checkpoint_s": 600}
        settings |= self._settings
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateway.gateway_process", json.dumps(settings), str(self._port)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "default"},
            cwd=Path(__file__).parents[2],
        )
        return self._process

    async def listening(self) -> None:
        """Wait until the control socket answers."""

        async def answers() -> bool:
            try:
                _, writer = await asyncio.open_unix_connection(str(self.data_dir / SOCKET))
            except OSError:
                return False
            writer.close()
            return True

        deadline = time.monotonic() + 30
        while not await answers():
            assert self._process is not None
            assert self._process.poll() is None, self._process.communicate()[1]
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def stop(self) -> tuple[int, str]:
        """SIGTERM; exit code and what it wrote to standard error."""
        assert self._process is not None
        self._process.terminate()
        _, errors = self._process.communicate(timeout=20)
        code = self._process.returncode
        self._process = None
        return code, errors


class Publisher:
    """An agent: seals batches, sends them go-back-N, deletes only what a receipt names."""

    WINDOW = 16
    RESEND_S = 0.4

    def __init__(self, port: int) -> None:
        self._port = port
        self._sealed: dict[Lane, list[bytes]] = {"alarm": [], "telemetry": []}
        self.acknowledged: dict[Lane, int] = {"alarm": 0, "telemetry": 0}
        self._next: dict[Lane, int] = {"alarm": 0, "telemetry": 0}
        self._progress_at = 0.0

    def seal(self, lane: Lane, *readings: Reading) -> int:
        """Seal a batch; gives its seq."""
        seq = len(self._sealed[lane]) + 1
        message = Batch(
            site="shuiye",
            agent="edge1",
            epoch="e1",
            lane=lane,
            seq=seq,
            oldest=1,
            sent_ms=time.time_ns() // 1_000_000,
            readings=list(readings),
        )
        self._sealed[lane].append(encode(message))
        return seq

    @property
    def done(self) -> bool:
        """Whether every sealed batch was acknowledged."""
        return all(self.acknowledged[lane] == len(self._sealed[lane]) for lane in LANES)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                async with aiomqtt.Client("127.0.0.1", self._port, timeout=1) as client:
                    await client.subscribe(topic(DEFAULT_ROOT, "shuiye", "edge1", "receipt"), qos=1)
                    await client.publish(
                        topic(DEFAULT_ROOT, "shuiye", "edge1", "state"),
                        encode(state(sent_ms=time.time_ns() // 1_000_000)),
                        retain=True,
                        qos=1,
                    )
                    listening = asyncio.create_task(self._listen(client), name="receipts")
                    try:
                        await self._send(client)
                    finally:
                        listening.cancel()
                        await asyncio.gather(listening, return_exceptions=True)
            except aiomqtt.MqttError:
                await asyncio.sleep(0.1)

    async def speak(self, every_s: float) -> None:
        """Say that it is there until cancelled, on a connection of its own."""
        async with aiomqtt.Client("127.0.0.1", self._port, timeout=1) as client:
            while True:
                said = encode(state(sent_ms=time.time_ns() // 1_000_000))
                await client.publish(topic(DEFAULT_ROOT, "shuiye", "edge1", "state"), said, retain=True, qos=1)
                await asyncio.sleep(every_s)

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            if time.monotonic() - self._progress_at > self.RESEND_S:
                self._progress_at = time.monotonic()
                self._next = dict(self.acknowledged)
            for lane in LANES:
                while self._next[lane] < min(len(self._sealed[lane]), self.acknowledged[lane] + self.WINDOW):
                    payload = self._sealed[lane][self._next[lane]]
                    self._next[lane] += 1
                    await client.publish(topic(DEFAULT_ROOT, "shuiye", "edge1", lane), payload, qos=1)
            await asyncio.sleep(0.005)

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            receipt = decode_receipt(message.payload)
            for lane in LANES:
                seq = getattr(receipt, lane)
                if seq > self.acknowledged[lane]:
                    self.acknowledged[lane] = seq
                    self._next[lane] = max(self._next[lane], seq)
                    self._progress_at = time.monotonic()
            if receipt.rewind:
                self._next = dict(self.acknowledged)


__all__ = ["GatewayProcess", "Publisher", "until"]

if __name__ == "__main__":
    uvloop.run(
        run(GatewaySettings.model_validate_json(sys.argv[1]), EmbeddedSettings(), MqttSettings(port=int(sys.argv[2])))
    )
