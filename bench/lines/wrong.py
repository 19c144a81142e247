"""Campaigns that try to get a wrong value through: late answers, noise, corrupted and foreign frames."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from bench.lines.bus import Bus, BusServer, Question, Sent, crc, frame, noise, word_at
from bench.lines.rig import new_port, polling, profile_of, server_line
from contract.errors import DeviceError
from edge_agents.bus.modbus import ModbusPort
from edge_agents.bus.port import FrameCounters
from edge_agents.drivers.modbus import Block

TIMEOUT_S = 0.3
SIZES = (1, 2, 4, 8, 10)


def expected(unit: int, block: Block) -> list[int]:
    """What the units hold."""
    return [word_at(unit, block.address + n) for n in range(block.size)]


async def late_answers(count: int, seed: int = 1, *, in_order: bool = True) -> dict[str, Any]:
    """Answers 1 to 500 ms after their timeout, mixed with good ones, over units, lengths and addresses."""
    chance, late = random.Random(seed), 0

    def fault(_question: Question, answer: bytes) -> list[Sent]:
        nonlocal late
        if late >= count or chance.random() < 0.3:
            return [Sent(answer)]
        late += 1
        return [Sent(answer, TIMEOUT_S + chance.uniform(0.001, 0.5))]

    bus, frames = Bus(115200, fault=fault, in_order=in_order, keep_asked=False), FrameCounters()
    right = wrong = refused = after_right = 0
    async with BusServer(bus) as server:
        port = new_port(server_line(server.port, TIMEOUT_S, 115200), frames)
        await port.open()
        while late < count:
            outcome = await _read_some(port, chance)
            right, wrong, refused = right + (outcome == 1), wrong + (outcome == 0), refused + (outcome is None)
        await asyncio.sleep(2)
        for _ in range(200):
            outcome = await _read_some(port, chance)
            wrong += outcome == 0
            after_right += outcome == 1
        port.close()
    return {"late": late, "right": right, "wrong": wrong, "refused": refused, "right_of_200_after": after_right}


async def _read_some(port: ModbusPort, chance: random.Random) -> bool | None:
    """Whether a read gave the truth; None when it gave nothing."""
    unit, block = chance.randint(1, 4), Block(3, chance.randint(0, 200), chance.choice(SIZES))
    try:
        words = await port.read(unit, block, 0.1)
    except DeviceError:
        return None
    return words == expected(unit, block)


async def noise_frames(count: int, seed: int = 2) -> dict[str, Any]:
    """Noise before, after and instead of answers while contacts are polled that never change."""
    chance, sent = random.Random(seed), 0

    def fault(question: Question, answer: bytes) -> list[Sent]:
        nonlocal sent
        if sent >= count:
            return [Sent(answer)]
        sent += 1
        dirt = noise(chance, question, answer)
        where = chance.random()
        if where < 0.4:
            return [Sent(dirt)]
        return [Sent(dirt + answer)] if where < 0.8 else [Sent(dirt), Sent(answer, 0.05)]

    bus = Bus(115200, fault=fault, keep_asked=False)
    async with (
        BusServer(bus) as server,
        polling(server_line(server.port, TIMEOUT_S, 115200), profile_of(1, 4, alarms=True), 4, 0.1) as (line, readings),
    ):
        while sent < count:  # noqa: ASYNC110  # the clock is virtual, waiting costs nothing
            await asyncio.sleep(1)
        edges_s = asyncio.get_running_loop().time()
        await asyncio.sleep(10)
        good = {n for n, reading in enumerate(readings) if reading.quality == "good"}
    wrong_edges = wrong_values = 0
    for n in good:
        unit, _, point = readings[n].point.partition("/")
        number = int(unit[1:]) if unit.startswith("u") else 0
        if point.startswith("c"):
            wrong_edges += readings[n].value is not bool(word_at(number, 0) >> int(point[1:]) & 1)
        elif point.startswith("b0r"):
            wrong_values += readings[n].value != word_at(number, int(point[3:]))
    return {
        "frames": sent,
        "reads": line.counters.reads,
        "refused": line.frames.damaged,
        "disagreements": line.counters.disagreements,
        "alarm_edges": wrong_edges,
        "wrong_values": wrong_values,
        "line_s": round(edges_s - 1000),
    }


async def bad_frames(count: int, seed: int = 3) -> dict[str, Any]:
    """Only corrupted and foreign frames come back; not one may be taken."""
    chance = random.Random(seed)
    kinds: dict[str, int] = {}

    def fault(question: Question, answer: bytes) -> list[Sent]:
        kind = chance.choice(sorted(_SPOILERS))
        kinds[kind] = kinds.get(kind, 0) + 1
        return [Sent(_SPOILERS[kind](chance, question, answer))]

    bus = Bus(115200, fault=fault, keep_asked=False)
    refused = taken = 0
    async with BusServer(bus) as server:
        port = new_port(server_line(server.port, TIMEOUT_S, 115200))
        await port.open()
        for _ in range(count):
            unit, block = chance.randint(1, 40), Block(3, chance.randint(0, 200), chance.choice((4, 8, 10)))
            try:
                await port.read(unit, block, 0.05)
            except DeviceError:
                refused += 1
            else:
                taken += 1
        port.close()
    return {"frames": bus.questions, "refused_reads": refused, "taken": taken, "kinds": kinds}


def _flip(chance: random.Random, _question: Question, answer: bytes) -> bytes:
    at = chance.randrange(len(answer) * 8)
    return _xor(answer, 1 << at)


def _burst(chance: random.Random, _question: Question, answer: bytes) -> bytes:
    width = chance.randint(2, 16)
    pattern = chance.getrandbits(width) | 1 | 1 << (width - 1)
    return _xor(answer, pattern << chance.randrange(len(answer) * 8 - width))


def _xor(data: bytes, mask: int) -> bytes:
    return (int.from_bytes(data, "big") ^ mask).to_bytes(len(data), "big")


def _other_unit(_chance: random.Random, question: Question, answer: bytes) -> bytes:
    return frame(question.unit % 247 + 1, question.function, answer[3:-2])


def _other_function(_chance: random.Random, question: Question, answer: bytes) -> bytes:
    return frame(question.unit, 4 if question.function == 3 else 3, answer[3:-2])


def _other_length(chance: random.Random, question: Question, answer: bytes) -> bytes:
    return frame(question.unit, question.function, answer[3:-2] + chance.randbytes(2))


def _cut(chance: random.Random, _question: Question, answer: bytes) -> bytes:
    return answer[: chance.randint(1, len(answer) - 1)]


def _other_master(chance: random.Random, question: Question, _answer: bytes) -> bytes:
    body = bytes((question.unit % 247 + 1, 3)) + chance.randbytes(2) + b"\x00\x02"
    return body + crc(body)


_SPOILERS = {
    "bit": _flip,
    "burst": _burst,
    "other unit": _other_unit,
    "other function": _other_function,
    "other length": _other_length,
    "cut": _cut,
    "other master": _other_master,
}
