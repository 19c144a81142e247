"""Fifty sign-ins at once beside alarms, and how long each way of being refused takes.

The crowd is a process of its own; each of its people has an address of their own, as a proxy would tell it. Quiet and
crowded rounds take turns, so that whatever else the machine does lies on both.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench.boards import Board, follow
from bench.pages import feed
from bench.web_station import WebStation, percentile, token_in, web_station
from contract.messages import Reading
from gateway.control.protocol import Ask
from gateway.users import hasher

BOUNDS = {"alarm_p99_s": 1.0, "ratio": 3.0, "spread": 0.1}
PASSWORD = "a bench that signs in"  # of accounts that live as long as the measurement
BOARDS = 10
SPACING_S = 0.2
ALARMS = 15
"""Of a round; a crowded one has as many of them as fit beside the crowd."""
WAYS = ("wrong", "unknown", "off")
"""A wrong password of an account, a name nobody has, a wrong password of an account that is switched off."""


async def measure(people: int, rounds: int, tries: int, say: Callable[[str], None]) -> dict[str, Any]:
    """`people` sign in at once, `rounds` times; then each way of being refused is tried `tries` times, in turn."""
    with tempfile.TemporaryDirectory(prefix="weizhan-sign-in-") as folder:
        web = {"trusted_proxies": ["127.0.0.1"]}
        async with web_station(Path(folder), 1000, 2, BOARDS + 50, web) as station:
            await station.fill()
            await _make_accounts(station, people)
            duty = await station.sign_in("duty")
            boards = [await follow(station.address, duty) for _ in range(BOARDS)]
            feeding = asyncio.create_task(feed(station, 500), name="bench-readings")
            reading = [asyncio.create_task(board.read(), name="bench-board") for board in boards]
            crowd = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.sign_in", station.address, str(people)), stdin=PIPE, stdout=PIPE
            )
            try:
                quiet, crowded, waits = await _play(station, boards, crowd, rounds, say)
                refused = await _refused(crowd, tries)
            finally:
                if crowd.stdin is not None:
                    crowd.stdin.close()
                await crowd.wait()
                for task in (feeding, *reading):
                    task.cancel()
                await asyncio.gather(feeding, *reading, return_exceptions=True)
                for board in boards:
                    board.writer.close()
    return _found(quiet, crowded, waits, refused, people)


def _found(
    quiet: list[float], crowded: list[float], waits: list[float], refused: dict[str, list[float]], people: int
) -> dict[str, Any]:
    p99 = percentile(quiet, 0.99), percentile(crowded, 0.99)
    medians = {way: statistics.median(times) for way, times in refused.items()}
    middle = statistics.median(medians[way] for way in WAYS)
    spread = max(abs(medians[way] / middle - 1) for way in WAYS)
    in_time = p99[1] <= BOUNDS["alarm_p99_s"] and p99[1] / p99[0] <= BOUNDS["ratio"] and spread <= BOUNDS["spread"]
    return {
        "people": people, "alarms": {"quiet": len(quiet) // BOARDS, "crowded": len(crowded) // BOARDS},
        "quiet_p50_s": round(percentile(quiet, 0.5), 3), "quiet_p99_s": round(p99[0], 3),
        "crowded_p50_s": round(percentile(crowded, 0.5), 3), "crowded_p99_s": round(p99[1], 3),
        "ratio": round(p99[1] / p99[0], 2), "sign_in_p50_s": round(percentile(waits, 0.5), 2),
        "sign_in_max_s": round(max(waits), 2), "refused_ms": {way: round(ms, 1) for way, ms in medians.items()},
        "spread": round(spread, 3), "load": round(os.getloadavg()[0], 1), "passed": in_time,
    }  # fmt: skip


async def _make_accounts(station: WebStation, people: int) -> None:
    ask = station.gateway.pipeline.ask
    hashed = await asyncio.to_thread(hasher().hash, PASSWORD)
    for name in [*(f"crew-{n}" for n in range(people)), *(f"off-{n}" for n in range(people))]:
        told = {"name": name, "password_hash": hashed}
        await ask(Ask(id=0, op="user.create", actor="local", args={**told, "role": "duty", "area": ""}))
        await ask(Ask(id=0, op="user.set_password", actor="local", args=told))
        if name.startswith("off-"):
            await ask(Ask(id=0, op="user.disable", actor="local", args={"name": name}))


# --- alarms, with and without the crowd -----------------------------------------------------------------------------


async def _play(
    station: WebStation, boards: list[Board], crowd: asyncio.subprocess.Process, rounds: int, say: Callable[[str], None]
) -> tuple[list[float], list[float], list[float]]:
    quiet: list[float] = []
    crowded: list[float] = []
    waits: list[float] = []
    left = iter([(agent, device) for agent, ids in station.plan.device_ids.items() for device in ids])

    async def alarms(busy: asyncio.Future[Any] | None) -> list[float]:
        offered: dict[str, float] = {}
        while len(offered) < ALARMS and not (offered and busy is not None and busy.done()):
            agent, device = next(left)
            point = f"{device}/cap_open"
            offered[f"{station.plan.site}/{point}"] = time.monotonic()
            await station.say(agent, [Reading(point, time.time_ns() // 1_000_000, True)], "alarm")
            await asyncio.sleep(SPACING_S)
        async with asyncio.timeout(30):
            while not all(offered.keys() <= board.shown.keys() for board in boards):  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.05)
        return [board.shown[subject] - at for board in boards for subject, at in offered.items()]

    for number in range(rounds):
        quiet += await alarms(None)
        signing_in = asyncio.ensure_future(_order(crowd, {"do": "sign_in"}))
        crowded += await alarms(signing_in)
        waits += await signing_in
        say(f"round {number + 1} of {rounds}: {percentile(quiet, 0.99):.3f} s, {percentile(crowded, 0.99):.3f} s")
    return quiet, crowded, waits


async def _refused(crowd: asyncio.subprocess.Process, tries: int) -> dict[str, list[float]]:
    """ms of each try, by way."""
    found: dict[str, list[float]] = await _order(crowd, {"do": "be_refused", "tries": tries})
    return found


async def _order(crowd: asyncio.subprocess.Process, order: dict[str, Any]) -> Any:
    assert crowd.stdin is not None
    assert crowd.stdout is not None
    crowd.stdin.write(json.dumps(order).encode() + b"\n")
    await crowd.stdin.drain()
    return json.loads(await crowd.stdout.readline())


# --- the crowd ------------------------------------------------------------------------------------------------------


class Crowd:
    """The people, each at an address of their own. Run as `python -m bench.sign_in ADDRESS PEOPLE`."""

    def __init__(self, address: str, people: int) -> None:
        self._address = address
        self._people = people
        self._places = 0

    async def sign_in(self) -> list[float]:
        """Everybody presses the button at the same moment; gives how long each waited, s."""
        async with httpx.AsyncClient(base_url=self._address, timeout=60) as one:
            doors = [await self._open(one) for _ in range(self._people)]
        pressed = await asyncio.gather(*(self._press(door, f"crew-{n}", PASSWORD, 303) for n, door in enumerate(doors)))
        return [ms / 1000 for ms in pressed]

    async def be_refused(self, tries: int) -> dict[str, list[float]]:
        """One try after the other, the ways mixed, each from a place of its own; gives ms by way."""
        chance = random.Random(1)
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        names = {"wrong": "crew", "unknown": "none", "off": "off"}
        async with httpx.AsyncClient(base_url=self._address, timeout=60) as one:
            for number in range(tries):
                for way in chance.sample(WAYS, len(WAYS)):
                    door = await self._open(one)
                    name = f"{names[way]}-{number % self._people}"
                    found[way].append(await self._press(door, name, "not this one", 401, one))
        return found

    async def _open(self, client: httpx.AsyncClient) -> tuple[dict[str, str], str]:
        """The sign-in page at a new place: what it gave, and its token."""
        self._places += 1
        place = {"X-Forwarded-For": f"10.{self._places >> 16 & 255}.{self._places >> 8 & 255}.{self._places & 255}"}
        client.cookies.clear()
        page = await client.get("/sign-in", headers=place)
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        return {**place, "Cookie": cookies}, token_in(page)

    async def _press(
        self, door: tuple[dict[str, str], str], name: str, password: str, want: int, client: Any = None
    ) -> float:
        """Send the form; gives ms."""
        if client is None:
            async with httpx.AsyncClient(base_url=self._address, timeout=60) as own:
                return await self._press(door, name, password, want, own)
        headers, token = door
        client.cookies.clear()
        begun_s = time.perf_counter()
        form = {"csrf": token, "name": name, "password": password}
        answer = await client.post("/sign-in", data=form, headers=headers)
        assert answer.status_code == want, f"{name}: {answer.status_code}"
        return (time.perf_counter() - begun_s) * 1000


async def _serve(crowd: Crowd) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        told = await crowd.sign_in() if order["do"] == "sign_in" else await crowd.be_refused(order["tries"])
        print(json.dumps(told), flush=True)


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    ms = found["refused_ms"]
    return "\n".join(
        [
            f"| {found['people']} sign-ins at once, load {found['load']} | figure | want |",
            "|---|---|---|",
            f"| alarm on an open board without them, median and 99th percentile, s | {found['quiet_p50_s']}, "
            f"{found['quiet_p99_s']} | |",
            f"| the same beside them, s | {found['crowded_p50_s']}, {found['crowded_p99_s']} | "
            f"≤ {BOUNDS['alarm_p99_s']:g} |",
            f"| ratio of the 99th percentiles | {found['ratio']} | ≤ {BOUNDS['ratio']:g} |",
            f"| a person waits, median and longest, s | {found['sign_in_p50_s']}, {found['sign_in_max_s']} | |",
            f"| refused: wrong password, unknown name, account switched off, medians, ms | {ms['wrong']}, "
            f"{ms['unknown']}, {ms['off']} | |",
            f"| the largest distance from the middle one | {found['spread']:.1%} | ≤ {BOUNDS['spread']:.0%} |",
        ]
    )


if __name__ == "__main__":
    asyncio.run(_serve(Crowd(sys.argv[1], int(sys.argv[2]))))
