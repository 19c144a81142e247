"""Clocks: an agent's readings get the right times whatever its clock, ours, or the network does."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.messages import Batch, Reading, decode_batch, encode
from edge_agents.clock import AgentClock
from edge_agents.outbox_file import OutboxFile
from edge_agents.outbox_row import Row
from edge_agents.reporting import DeviceReport, Observation, Reported, ReportRule
from edge_agents.uplink import Identity, batch_of
from gateway.ingest.clock import AgentTime, corrected, doubted

T0 = 1_760_000_000_000
BOOT_MS = 3_600_000
HOUR_S = 3600
OLD_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batch (
  lane TEXT NOT NULL, seq INTEGER NOT NULL, first_seq INTEGER NOT NULL, sealed_ms INTEGER NOT NULL,
  readings INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  body BLOB NOT NULL, gaps BLOB NOT NULL, crc INTEGER NOT NULL,
  PRIMARY KEY (lane, seq)) WITHOUT ROWID;
"""
"""The batches of an outbox file of version 0.1."""
WHO = Identity("s1", "a1", "0", "hash", 10.0)
RULES = (ReportRule("level_m", False, 0.0),)


class Machine:
    """The computer of an agent: true time in seconds, a wall clock that can be wrong and be stepped."""

    def __init__(self, wrong_ms: int = 0) -> None:
        self.at_s = 0.0
        self.wrong_ms = wrong_ms
        self.boot = "boot1"
        self.booted_s = -BOOT_MS / 1000

    def true_ms(self) -> int:
        return T0 + int(self.at_s * 1000)

    def wall(self) -> int:
        return self.true_ms() + self.wrong_ms

    def steady(self) -> int:
        return int((self.at_s - self.booted_s) * 1000)

    def clock(self) -> AgentClock:
        return AgentClock(self.wall, self.steady, self.boot)


class Agent:
    """What of an agent has to do with time: reports, a real outbox file, and batches as they are sent."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.folder = folder
        self.truth: list[int] = []
        self.start()

    def start(self) -> None:
        """A new process on the same outbox; the last report is known, as it is kept with the readings."""
        self.clock = self.machine.clock()
        self.file = OutboxFile(self.folder / "outbox.db", self.clock.now_ms, self.clock.stamp)
        self.file.open()
        report = DeviceReport("d1", RULES, 1.0, 3)
        if self.truth:
            report.restore({"d1/level_m": self.last})
        self.report = report

    def measure(self) -> None:
        """One reading; its value is the number of the true time it was made at."""
        self.truth.append(self.machine.true_ms())
        seen = Observation(0, float(len(self.truth) - 1), "good")
        readings = self.report.answered([seen], self.clock.now_ms()).telemetry
        last = self.report.last(0)
        assert last is not None
        self.last = last
        self.file.append([("telemetry", readings, {}, None)], 16_384)

    def send(self) -> Iterator[Batch]:
        """Everything held, as it is sent now; then it is acknowledged."""
        while rows := self.file.peek("telemetry", 0, 32):
            for row in rows:
                yield decode_batch(encode(batch_of(WHO, self.file.epoch, row, rows[0].first_seq, self.clock)))
            self.file.acknowledge("telemetry", rows[-1].seq)


class Desk:
    """The gateway's side: what arrives is placed on its own clock."""

    def __init__(self) -> None:
        self.time = AgentTime()
        self.placed: list[Reading] = []
        self.raw: list[Reading] = []
        self.offset_ms = 0

    def take(self, batch: Batch, received_ms: int) -> None:
        self.offset_ms = self.time.hear(batch.boot, batch.steady_ms, batch.sent_ms, received_ms)
        readings = doubted(batch.readings) if batch.clock_lost else batch.readings
        self.raw += readings
        self.placed += corrected(readings, self.time.place(batch, received_ms))


def errors_ms(desk: Desk, agent: Agent) -> list[int]:
    """How far each reading is from the time it was really made at."""
    assert [reading.value for reading in desk.placed] == [float(n) for n in range(len(agent.truth))]
    return [reading.observed_ms - true for reading, true in zip(desk.placed, agent.truth, strict=True)]


def in_order(readings: list[Reading]) -> bool:
    """Whether the times of a point go up strictly."""
    return all(before.observed_ms < after.observed_ms for before, after in itertools.pairwise(readings))


@pytest.mark.parametrize("wrong_ms", [0, -90_000, -40 * 365 * 86_400_000])
@pytest.mark.parametrize("step_ms", [90_000, -90_000])
@pytest.mark.parametrize("case", ["online", "outage", "outage and restart"])
def test_times_are_right_when_the_wall_clock_is_stepped(tmp_path: Path, wrong_ms: int, step_ms: int, case: str) -> None:
    """Within a second of the truth, in order and unique: online, and kept for six hours over a restart of the agent."""
    machine, desk, chance = Machine(wrong_ms), Desk(), random.Random(f"{wrong_ms} {step_ms} {case}")
    agent = Agent(machine, tmp_path)
    every_s = 20 if case == "online" else 300
    until_s = 1200 if case == "online" else 6 * HOUR_S + 1200
    for at_s in range(every_s, until_s, every_s):
        machine.at_s = at_s
        agent.measure()
        if at_s == 600:
            machine.wrong_ms += step_ms
        if case == "outage and restart" and at_s == 3000:
            agent.file.close()
            agent.start()
        is_away = case != "online" and 300 < at_s < 6 * HOUR_S
        if not is_away:
            for batch in agent.send():
                machine.at_s += 0.001
                desk.take(batch, machine.true_ms() + chance.randint(5, 400))
    agent.file.close()

    assert machine.wrong_ms == wrong_ms + step_ms
    worst_ms = max(map(abs, errors_ms(desk, agent)))
    assert worst_ms <= 1000
    assert in_order(desk.placed)
    assert len({reading.observed_ms for reading in desk.raw}) == len(desk.raw)
    assert abs(desk.offset_ms - machine.wrong_ms) <= 400


def test_readings_of_another_boot_are_doubted_and_kept_where_they_can_be(tmp_path: Path) -> None:
    """Nobody knows what the clock did while the machine was down: `uncertain:clock`, at the times it gave."""
    machine, desk = Machine(), Desk()
    agent = Agent(machine, tmp_path)
    for _ in range(5):
        machine.at_s += 60
        agent.measure()
    machine.at_s += 600
    machine.boot, machine.booted_s, machine.wrong_ms = "boot2", machine.at_s - 30, 90_000
    agent.file.close()
    agent.start()
    machine.at_s += 60
    agent.measure()
    for batch in agent.send():
        desk.take(batch, machine.true_ms() + 20)
    agent.file.close()

    assert [reading.quality for reading in desk.placed] == ["uncertain:clock"] * 5 + ["good"]
    assert max(map(abs, errors_ms(desk, agent))) <= 20


def test_readings_of_another_boot_count_from_their_arrival_when_their_clock_was_never_set() -> None:
    """A machine without a clock that was switched off again: order is kept, the newest is placed where it arrived."""
    readings = [Reading("d1/level_m", 1000, 1.0), Reading("d1/level_m", 61_000, 2.0)]
    desk = Desk()
    desk.take(batch(readings, sent_ms=T0, steady_ms=1, clock_lost=True), T0 + 7)

    assert [reading.observed_ms for reading in desk.placed] == [T0 + 7 - 60_000, T0 + 7]


def test_old_file_is_brought_up_and_its_rows_are_of_an_unknown_clock(tmp_path: Path) -> None:
    """An outbox of version 0.1 keeps rows, names and checksums; by which clock they were timed nobody knows."""
    body = b'[["d1/level_m",1760000000000,0.0,"good"]]'
    old = Row("telemetry", 7, 7, T0, 1, T0, T0, body, b"[]")
    db = sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)
    db.executescript(OLD_SCHEMA)
    db.execute("INSERT INTO batch VALUES (?,?,?,?,?,?,?,?,?,?)", (*old[:9], old.crc))
    db.execute("INSERT INTO meta VALUES ('epoch', 'e'), ('seq.telemetry', '7')")
    db.close()
    machine, desk = Machine(), Desk()
    agent = Agent(machine, tmp_path)
    agent.truth.append(T0)
    agent.last = Reported(0.0, "good", T0)
    machine.at_s += 1
    agent.measure()
    sent = list(agent.send())
    for each in sent:
        desk.take(each, machine.true_ms() + 20)
    agent.file.close()

    assert [(each.seq, each.clock_lost, each.epoch) for each in sent] == [(7, True, "e"), (8, False, "e")]
    assert [reading.quality for reading in desk.placed] == ["uncertain:clock", "good"]
    assert errors_ms(desk, agent) == [0, 0]


def test_row_counts_as_damaged_when_its_clock_was_changed_on_disk(tmp_path: Path) -> None:
    """By which clock readings were timed is under the checksum like the readings."""
    agent = Agent(Machine(), tmp_path)
    agent.measure()
    agent.file.db.execute("UPDATE batch SET shift_ms = shift_ms + 1024")
    rows = agent.file.peek("telemetry", 0, 1)
    agent.file.close()

    assert [(row.readings, row.gap_list()[0].reason) for row in rows] == [(0, "damaged")]


def batch(readings: list[Reading], *, sent_ms: int, steady_ms: int, **more: object) -> Batch:
    """A batch of one lane."""
    made = Batch(
        site="s1", agent="a1", epoch="e", lane="telemetry", seq=1, oldest=1, sent_ms=sent_ms, readings=readings
    )
    made.boot, made.steady_ms = "boot", steady_ms
    for name, value in more.items():
        setattr(made, name, value)
    return made


def hear_all(desk: Desk, machine: Machine, received_ms: list[int], sent: list[tuple[int, int]]) -> list[int]:
    """Offsets after each message (wall, steady) that arrived then."""
    return [
        desk.time.hear(machine.boot, steady, wall, at) for at, (wall, steady) in zip(received_ms, sent, strict=True)
    ]


def test_delay_is_not_taken_for_a_clock_when_messages_waited_in_the_broker() -> None:
    """A gateway that stood still for ten minutes: what waited arrives at once, and the offset stays."""
    machine, desk = Machine(5000), Desk()
    for _ in range(30):
        machine.at_s += 10
        assert desk.time.hear(machine.boot, machine.steady(), machine.wall(), machine.true_ms() + 20) == 4980
    waiting = []
    for _ in range(600):
        machine.at_s += 1
        waiting.append((machine.wall(), machine.steady()))
    arrived = [machine.true_ms() + n for n in range(600)]

    assert set(hear_all(desk, machine, arrived, waiting)) == {4980}


def test_our_own_clock_is_followed_when_it_was_stepped() -> None:
    """After a minute of messages that agree with each other, it was no delay."""
    machine, desk = Machine(), Desk()
    ahead_ms, found = 0, []
    for n in range(60):
        machine.at_s += 5
        if n == 20:
            ahead_ms = 90_000
        found.append(desk.time.hear(machine.boot, machine.steady(), machine.wall(), machine.true_ms() + 20 + ahead_ms))

    assert found[19] == -20
    assert found[40] == found[-1] == -90_020


def test_drift_is_followed_in_both_directions() -> None:
    """Two parts in ten thousand over a day: never off by more than 300 ms."""
    for rate in (2e-4, -2e-4):
        machine, desk, chance = Machine(), Desk(), random.Random(1)
        worst = 0
        for _ in range(8640):
            machine.at_s += 10
            true_ms = machine.true_ms() + int(machine.at_s * 1000 * rate)
            offset = desk.time.hear(machine.boot, machine.steady(), machine.wall(), true_ms + chance.randint(5, 60))
            worst = max(worst, abs(offset - (machine.wall() - true_ms)))
        assert worst <= 300


def test_times_never_run_backwards_when_the_estimate_gets_better() -> None:
    """A first message that came late makes readings seem late; better ones place the next earlier, not before it."""
    machine, desk = Machine(10_000), Desk()
    delays = itertools.chain([8000, 20], itertools.repeat(20))
    for n, delay_ms in zip(range(60), delays, strict=False):
        machine.at_s += 0.5
        reading = Reading("d1/level_m", machine.wall(), float(n))
        desk.take(batch([reading], sent_ms=machine.wall(), steady_ms=machine.steady()), machine.true_ms() + delay_ms)

    assert in_order(desk.placed)
    assert abs(desk.placed[-1].observed_ms - machine.true_ms()) <= 20
