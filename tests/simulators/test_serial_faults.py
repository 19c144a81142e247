"""A bad serial line: what becomes of answers, and that the same seed does the same."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from simulators.modbus_rtu import ModbusRtuLine, crc16
from simulators.recorder import Recorder
from simulators.serial_faults import LATE_S, LineFaults
from simulators.story_acts import LineAct
from tests.simulators.clients import Terminal, crc, read_pdu, until, words_of
from tests.simulators.conftest import device_of_vector

QUESTION = bytes.fromhex("010300000001840a")
ANSWER = bytes.fromhex("010302000178 44".replace(" ", ""))


def faults(fault: str, share: float = 1.0, seed: int = 1) -> LineFaults:
    found = LineFaults(seed)
    found.act = LineAct.model_validate({"id": "rtu-1", "fault": fault, "share": share})
    return found


def test_nothing_happens_to_an_answer_when_the_line_is_good() -> None:
    """Byte for byte, at once."""
    assert LineFaults().shape(QUESTION, ANSWER) == (0.0, ANSWER)


@pytest.mark.parametrize("fault", ["noise", "collision"])
def test_no_reader_takes_it_for_whole_when_it_is_spoilt(fault: str) -> None:
    """The CRC of a spoilt answer does not fit, save by the chance of one in 65,536."""
    line = faults(fault)
    said = [line.shape(QUESTION, ANSWER)[1] for _ in range(300)]
    assert sum(crc16(each) == 0 for each in said) <= 20  # a collision may leave the bits as they were
    assert len(set(said)) > 20


def test_it_is_whole_and_too_late_or_behind_an_echo() -> None:
    """Late: after every reader gave up. Echo: the question stands before it, always."""
    late_s, said = faults("late").shape(QUESTION, ANSWER)
    assert (LATE_S[0] <= late_s <= LATE_S[1], said) == (True, ANSWER)
    assert faults("echo", share=0.01).shape(QUESTION, ANSWER) == (0.0, QUESTION + ANSWER)


def test_a_share_of_answers_suffers_and_always_the_same_ones() -> None:
    """By the seed."""
    one, same, other = (
        [faults_.shape(QUESTION, ANSWER) for _ in range(200)]
        for faults_ in (faults("noise", 0.3, 4), faults("noise", 0.3, 4), faults("noise", 0.3, 5))
    )
    assert one == same
    assert one != other
    assert 30 <= sum(said != ANSWER for _, said in one) <= 90


async def test_a_real_terminal_hears_the_echo_and_nothing_at_all_when_unplugged(
    recorder: Recorder, tmp_path: Path
) -> None:
    """The line itself, by its bytes."""
    units = {1: device_of_vector("pump-controller", recorder)}
    question = bytes((1,)) + read_pdu(3, 0, 1)
    question += crc(question)
    async with (
        ModbusRtuLine(units, tmp_path / "rtu", recorder, baud=115200) as line,
        Terminal(tmp_path / "rtu") as terminal,
    ):
        line.faults.act = LineAct(id="rtu-1", fault="echo")
        os.write(terminal.fd, question)
        await until(lambda: len(terminal.received) >= len(question) + 7, "the echo and the answer")
        heard = bytes(terminal.received)
        assert heard[: len(question)] == question
        assert words_of(heard[len(question) + 1 : -2]) == [1]
        terminal.received.clear()
        line.faults.act = LineAct(id="rtu-1", fault="unplugged")
        os.write(terminal.fd, question)
        await asyncio.sleep(0.3)  # that nothing comes is the point
        assert not terminal.received
