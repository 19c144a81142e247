"""What must hold of the ledger, the people and the files when a run is over."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from contract.messages import Reading
from gateway.alarms.lifecycle import next_state
from gateway.ledger import audit, verify
from tests.world.plan import FIRE_POINTS
from tests.world.station import CANARY

if TYPE_CHECKING:
    from tests.world.checks import Checks
    from tests.world.world import World

SITE = "shuiye"
FIRE_RULE = "panel-fire"
_readings = msgspec.json.Decoder(list[Reading])


class LedgerChecks:
    """The last look."""

    def __init__(self, world: World, checks: Checks) -> None:
        self._world = world
        self._checks = checks

    def run(self) -> None:
        """Look at everything. Raises Broken."""
        path = self._world.gateway.disk.path
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            self._check_complete(connection)
            check_chain(self._checks, connection)
            self._check_alarms(connection)
            self._check_people(connection)
            self._checks.told.check(connection)
            self._check_told_secrets(connection)
        finally:
            connection.close()
        self._check_secret()
        self._checks.raise_broken()

    def _check_complete(self, connection: sqlite3.Connection) -> None:
        """I1, I8: every sealed batch is in the ledger, or a gap says exactly what is not."""
        marks = {
            row[:3]: row[3] for row in connection.execute("SELECT agent, epoch, lane, seq FROM watermark").fetchall()
        }
        for key, seq in self._checks.acked.items():
            if marks.get(key, 0) < seq:
                self._checks.fail("I1", f"{key}: acknowledged up to {seq}, the ledger has {marks.get(key, 0)}")
        missing: Counter[tuple[str, str, str]] = Counter()
        count: Counter[tuple[str, str, str]] = Counter()
        for batch, sealed in self._checks.sealed.items():
            if batch[3] <= marks.get(batch[:3], 0) and batch not in self._checks.stored and sealed.readings:
                missing[batch[:3]] += sealed.readings
                count[batch[:3]] += 1
                if batch[2] == "alarm":
                    self._checks.fail("I1", f"{batch}: an alarm batch is not in the ledger")
        gaps: Counter[tuple[str, str, str]] = Counter()
        for agent, epoch, lane, readings in connection.execute("SELECT agent, epoch, lane, readings FROM gap"):
            gaps[agent, epoch, lane] += readings
        self._checks.looks["given up"] += sum(missing.values())
        for key in missing.keys() | gaps.keys():
            if missing[key] != gaps[key]:
                self._checks.fail("I8", f"{key}: {missing[key]} readings are not there, the gaps say {gaps[key]}")

    def _check_alarms(self, connection: sqlite3.Connection) -> None:
        """I4, I6: one record an edge; states are what the steps make of them."""
        steps: dict[int, list[tuple[str, str, str]]] = {}
        for alarm, event, before, after in connection.execute(
            "SELECT alarm_id, event, from_state, to_state FROM transition ORDER BY id"
        ):
            steps.setdefault(alarm, []).append((event, before, after))
        rows = connection.execute(
            "SELECT id, rule, subject, state, active, raised_ms FROM alarm ORDER BY id"
        ).fetchall()
        for number, rule, subject, state, _active, _raised in rows:
            folded: str | None = "normal"
            for event, before, after in steps.get(number, []):
                if before != folded:
                    self._checks.fail(
                        "I6", f"alarm {number} ({rule} {subject}): {event} from {before}, it was {folded}"
                    )
                folded = next_state(before, event)  # type: ignore[arg-type]  # what the ledger says
                if folded != after:
                    self._checks.fail("I6", f"alarm {number}: {event} leads to {after}, want {folded}")
            if folded != state:
                self._checks.fail("I6", f"alarm {number} ({rule} {subject}) is {state}, its steps give {folded}")
        self._check_fires(connection, [(row[2], row[5], row[4]) for row in rows if row[1] == FIRE_RULE])
        shown = {row[0] for row in rows}
        for op, alarm in self._checks.commands:
            want = op.removeprefix("alarm.")
            if alarm not in shown or want not in {event for event, _, _ in steps.get(alarm, [])}:
                self._checks.fail("I11", f"alarm {alarm}: a person was told of {op}, the ledger knows nothing of it")

    def _check_fires(self, connection: sqlite3.Connection, alarms: list[tuple[str, int, int]]) -> None:
        """I4: as many fires as the stored readings have edges, and every fire that lasted was told of."""
        last: dict[str, Any] = {}
        edges: Counter[str] = Counter()
        for (readings,) in connection.execute("SELECT readings FROM inbox WHERE lane = 'alarm' ORDER BY id"):
            for reading in _readings.decode(readings):
                if reading.value is None:
                    continue
                if reading.value == "fire" and last.get(reading.point) != "fire":
                    edges[f"{SITE}/{reading.point}"] += 1
                last[reading.point] = reading.value
        count = Counter(subject for subject, _, _ in alarms)
        for point in FIRE_POINTS:
            subject = f"{SITE}/panel-01/{point}"
            if count[subject] != edges[subject]:
                self._checks.fail("I4", f"{subject}: {edges[subject]} fires were read, {count[subject]} are recorded")
            truth = sum(value == "fire" for _, value in self._world.equipment["panel-01"].edges[point])
            if count[subject] > truth:
                self._checks.fail("I4", f"{subject}: burnt {truth} times, {count[subject]} fires are recorded")
            self._checks.looks["fire alarms"] += count[subject]
        for subject, active in ((subject, active) for subject, _, active in alarms if active):
            if last.get(subject.removeprefix(f"{SITE}/")) != "fire":
                self._checks.fail("I6", f"{subject}: {active} is shown as burning, the last reading says it is not")

    def _check_people(self, connection: sqlite3.Connection) -> None:
        """I5: the person on duty was sent every fire; a crash repeats at most the message that was under way."""
        world = self._world
        told = world.sinks["wang/app"].told
        late_ms = world.gateway.clock.wall_ms() - 40_000
        for number, subject, recorded in connection.execute(
            "SELECT id, subject, recorded_ms FROM alarm WHERE severity = 'fire' AND drill IS NULL"
        ):
            if number not in told and recorded < late_ms and not self._was_late(connection, number):
                self._checks.fail("I5", f"alarm {number} ({subject}): nobody was sent a word of it")
        crashes = world.gateway.crashes
        for sink in world.sinks.values():
            self._checks.looks["messages"] += sink.taken.total()
            for notice, times in sink.taken.items():
                if times > 1 + crashes + sink.doubtful[notice]:
                    self._checks.fail("I5", f"{sink.name}: message {notice} came {times} times, {crashes} crashes")

    @staticmethod
    def _was_late(connection: sqlite3.Connection, number: int) -> bool:
        row = connection.execute("SELECT retrospective FROM alarm WHERE id = ?", (number,)).fetchone()
        return bool(row[0])

    def _check_told_secrets(self, connection: sqlite3.Connection) -> None:
        """I14: nor in what people are told, nor in a row of the ledger, wherever its pages are cut."""
        for sink in self._world.sinks.values():
            for place in sink.secrets:
                self._checks.fail("I14", f"the broker's password stands in {place} to {sink.name}")
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                if any(CANARY in each for each in row if isinstance(each, str)):
                    self._checks.fail("I14", f"the broker's password stands in table {table}")

    def _check_secret(self) -> None:
        """I14: the password shows up nowhere."""
        world = self._world
        places = {"the log": "\n".join(world.log).encode()}
        for name, process in world.processes.items():
            for path in sorted(process.disk.folder.iterdir()):
                if path.is_file():
                    places[f"{name}/{path.name}"] = path.read_bytes()
        for place, data in places.items():
            if CANARY.encode() in data:
                self._checks.fail("I14", f"the broker's password stands in {place}")


def check_chain(checks: Checks, connection: sqlite3.Connection) -> None:
    """I10: the audit chain verifies, and everything that hangs on it."""
    if (broken := audit.verify_chain(connection)) is not None:
        checks.fail("I10", str(broken))
    for found in verify.damages(connection):
        if isinstance(found, verify.Damage):
            checks.fail("I10", str(found))
            return
