"""Plays a stream into a gateway's core and kills it on the way: `python -m tests.gateway.crash_run` prints findings.

Each run is a process of its own that gets a real SIGKILL: before the n-th statement of the ledger's writer, or at a
random instant. What was not acknowledged is sent again, as an agent does; then the ledger must equal the undisturbed
run's. The clock is virtual and stands still while nothing runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gateway.clock_steps import ClockSteps
from gateway.control.client import ControlError
from gateway.control.feed import Feed
from gateway.control.protocol import Ask
from gateway.installation import Installation, load_installation
from gateway.ledger.store import FILE, Store
from gateway.notify.sender import Sender
from gateway.notify.settings import NotifySettings
from gateway.notify.state import NotifyParts
from gateway.notify.ways import Ways
from gateway.pipeline import Pipeline
from gateway.settings import GatewaySettings
from tests.gateway.crash_stream import Step, make_stream
from tests.gateway.harness import DEFAULT_ROOT, Clock, until, write_site

TABLES = ("alarm", "transition", "rule_state", "notice", "shelf", "maintenance", "drill", "drill_item")
ORDERS = {"rule_state": "rule, subject", "shelf": "rule, subject", "drill_item": "drill, subject"}
WORKERS = 4
"""Messages that may be on their way when a gateway dies: two people, one way each, two lanes a way."""
SENDING = {"attempts", "sent_ms", "delivered_ms", "read_ms", "error"}
"""Columns of a notice that say how often and when it went out; a crash may make it go out once more."""
DONE = b"\x01"


class Mortal(Store):
    """A ledger whose writer dies before its n-th statement; 0: never."""

    def __init__(self, data_dir: Path, dies_at: int) -> None:
        super().__init__(data_dir)
        self.statements = 0
        self._dies_at = dies_at

    def _open(self) -> sqlite3.Connection:
        connection = super()._open()
        connection.set_trace_callback(self._count)
        return connection

    def _count(self, _: str) -> None:
        self.statements += 1
        if self.statements == self._dies_at:
            os.kill(os.getpid(), signal.SIGKILL)


class Sink(ThreadingHTTPServer):
    """Takes messages to people; `came` counts each by its words."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.came: Counter[str] = Counter()
        threading.Thread(target=self.serve_forever, name="sink", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Post(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # the name the library calls
        data = self.rfile.read(int(self.headers["content-length"]))
        if len(data) < int(self.headers["content-length"]):
            return  # the sender died on the way
        body = json.loads(data)
        assert isinstance(self.server, Sink)
        self.server.came[str(body.get("id", body))] += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the library's own signature
        return


def _notify(folder: Path, url: str) -> NotifySettings:
    """Two people: the duty desk at once, the leader by webhook a minute later; repeated every two minutes."""
    secret = folder / "secret"
    secret.write_text("a secret of the test\n", "utf-8")
    secret.chmod(0o600)
    return NotifySettings.model_validate({
        "people": [
            {"id": "desk", "name": "值班员", "channels": [
                {"kind": "webhook", "id": "hook", "url": url, "secret_file": str(secret)}]},
            {"id": "leader", "name": "站长", "channels": [
                {"kind": "webhook", "id": "hook", "url": url, "secret_file": str(secret)}]},
        ],
        "chains": [{"id": "all", "steps": [{"after_s": 0, "people": ["desk"]}, {"after_s": 60, "people": ["leader"]}],
                    "repeat_s": 120}],
        "routes": [{"chain": "all", "severities": ["fire", "critical", "warning"]}],
        "proof": {"enabled": False}, "private_addresses": True, "retry_s": 0.2,
    })  # fmt: skip


async def _play(folder: Path, stream: list[Step], first: int, dies_at: int, told: int) -> int:
    """Play from step `first`; a byte on `told` for each step that is durable. Gives the number of statements."""
    clock = Clock(max(stream[max(0, first - 1)].at_ms, _died_ms(folder)))  # it stood still since the gateway died
    settings = GatewaySettings(sites=[folder / "shuiye.yaml"], data_dir=folder / "data", commit_ms=0, checkpoint_s=0.1)
    notify = _notify(folder, (folder / "url").read_text("utf-8"))
    async with Mortal(settings.data_dir, dies_at) as store:
        parts = NotifyParts(notify, b"k" * 32, Ways(notify))
        sender = Sender(parts, store, lambda _: True, lambda *_: asyncio.sleep(0), clock.now)
        pipeline = Pipeline(
            store, _installation(folder), settings, root=DEFAULT_ROOT, feed=Feed(),
            receipts=lambda *_: None, requests=lambda *_: None, now_ms=clock.now, notify=parts, planned=sender.planned,
            steps=ClockSteps(clock.now, clock.steady),
        )  # fmt: skip
        async with sender, pipeline:
            for number in range(first, len(stream)):
                clock.now_ms = stream[number].at_ms
                await _step(pipeline, store, stream[number], number, folder)
                await _all_sent(store, stream[number].at_ms)
                os.write(told, DONE)
        return store.statements


@cache
def _loaded(site: str) -> Installation:
    return load_installation(GatewaySettings(sites=[Path(site)]))


def _installation(folder: Path) -> Installation:
    """Loaded once, before the forks: reading the packs takes longer than a run."""
    return _loaded(str(folder.parent / "shuiye.yaml"))


async def _all_sent(store: Store, now_ms: int) -> None:
    """What is due has gone out: what goes out next must not depend on how quick this machine is."""
    query = "SELECT count(*) FROM notice WHERE state IN ('planned', 'sending') AND due_ms <= ? AND NOT stop"
    async with asyncio.timeout(20):
        while await store.run(lambda connection: connection.execute(query, (now_ms,)).fetchone()[0]):
            await asyncio.sleep(0.002)


async def _step(pipeline: Pipeline, store: Store, step: Step, number: int, folder: Path) -> None:
    # What is due is decided and told before what comes now, in a life that begins here as in one that waited.
    await pipeline.ask(Ask(id=3, op="exported", actor="clock", args={"what": "nothing"}))
    await _all_sent(store, step.at_ms)
    if step.message is not None:
        assert pipeline.offer(step.message)
        await until(lambda: pipeline.status()["pending"] == 0)
    elif step.command is not None:
        actor = f"person-{number}"
        if not _was_done(folder, actor):
            try:
                await pipeline.ask(Ask(id=1, op=step.command[0], actor=actor, args=step.command[1]))
            except ControlError as exc:
                assert exc.code in ("not_found", "conflict", "invalid"), exc  # noqa: PT017 # any of these is an answer
    # Whatever else is due at this moment has been decided once this is answered; and it says that we were alive then.
    await pipeline.ask(Ask(id=2, op="exported", actor="clock", args={"what": "nothing"}))


def _died_ms(folder: Path) -> int:
    """When the gateway wrote something last."""
    path = folder / "data" / FILE
    if not path.exists():
        return 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        try:
            said = "(SELECT coalesce(max(at_ms), 0) FROM audit)"
            query = f"SELECT max({said}, (SELECT coalesce(max(received_ms), 0) FROM inbox))"
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # it died before there were tables


def _was_done(folder: Path, actor: str) -> bool:
    """A person whose command was not answered looks whether it was done before giving it again."""
    with sqlite3.connect(f"file:{folder / 'data' / FILE}?mode=ro", uri=True) as connection:
        return bool(connection.execute("SELECT count(*) FROM audit WHERE actor = ?", (actor,)).fetchone()[0])


def _run(folder: Path, stream: list[Step], first: int, dies_at: int, dies_after_s: float) -> tuple[int, bool, int]:
    """One life of the gateway, in a process of its own. Gives (steps done, whether it came to the end, statements)."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_fd)
        try:
            statements = asyncio.run(_play(folder, stream, first, dies_at, write_fd))
            os.write(write_fd, statements.to_bytes(4, "big"))
            os._exit(0)
        except BaseException:  # noqa: BLE001 # a child must not return into its parent's code
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(3)
    os.close(write_fd)
    if dies_after_s:
        time.sleep(dies_after_s)
        os.kill(pid, signal.SIGKILL)
    told = b""
    while part := os.read(read_fd, 65536):
        told += part
    os.close(read_fd)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return first + min(told.count(DONE), len(stream) - first), False, 0
    assert os.WEXITSTATUS(status) == 0, "the gateway's core failed"
    return len(stream), True, int.from_bytes(told[-4:], "big")


def _ledger(folder: Path) -> dict[str, list[Any]]:
    connection = sqlite3.connect(f"file:{folder / 'data' / FILE}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    rows: dict[str, list[Any]] = {}
    for table in TABLES:
        # The numbers of transitions and notices are not compared: a crash may leave a hole in them.
        order = ORDERS.get(table, "id")
        found = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order}")]
        if table == "rule_state":
            # What a rule remembers beside its phase may differ as long as it decides the same.
            found = [{k: row[k] for k in ("rule", "subject", "phase", "since_ms")} for row in found]
            found = [row for row in found if row["phase"] in ("pending", "active", "clearing")]
        left_out = {"id"} - {"id" if table == "alarm" else ""} | (SENDING if table == "notice" else set())
        rows[table] = [{k: v for k, v in row.items() if k not in left_out} for row in found]
    connection.close()
    return rows


def _lives(folder: Path, stream: list[Step], rng: random.Random, dies_at: int) -> int:
    """Play the stream to its end through crashes; gives their number."""
    first, crashes = 0, 0
    while True:
        dies_after_s = rng.uniform(0.005, 0.12) if dies_at == 0 and crashes < 3 else 0.0
        first, ended, _ = _run(folder, stream, first, dies_at if crashes == 0 else 0, dies_after_s)
        if ended:
            return crashes
        crashes += 1


def campaign(seeds: list[int], every_write: bool, runs: int, base: Path, steps: int = 30) -> dict[str, Any]:
    """Crash runs of the streams of these seeds; findings name seed, kill and the first difference."""
    found: list[str] = []
    total, crashes, alarms, messages, repeated = 0, 0, 0, 0, 0
    sink = Sink()
    # Whatever is loaded at the first use is loaded here, once, and not in every life.
    warm = _folder(base, sink)
    write_site(base)
    asyncio.run(_play(warm, make_stream(0, 6), 0, 0, os.open(os.devnull, os.O_WRONLY)))
    shutil.rmtree(warm)
    sink.came.clear()
    for seed in seeds:
        stream = make_stream(seed, steps)
        calm = _folder(base, sink)
        _, _, statements = _run(calm, stream, 0, 0, 0.0)
        expected = _ledger(calm)
        alarms += len(expected["alarm"])
        messages += len(expected["notice"])
        once = Counter(sink.came)
        kills = range(1, statements) if every_write else [0] * runs
        rng = random.Random(seed)
        if every_write:
            kills = rng.sample(kills, min(runs, len(kills)))
        for kill in kills:
            folder = _folder(base, sink)
            sink.came.clear()
            died = _lives(folder, stream, rng, kill)
            crashes += died
            total += 1
            again = sum(sink.came.values()) - sum(once.values())
            repeated += max(0, again)
            most = max((sink.came - once).values(), default=0)
            if not 0 <= again <= died * WORKERS or most > died:
                found.append(
                    f"seed {seed}, kill {kill or 'random'}: {again} messages more than undisturbed, {died} crashes"
                )
            got = _ledger(folder)
            if got != expected:
                found.append(f"seed {seed}, kill {kill or 'random'}: {_difference(expected, got)}")
            shutil.rmtree(folder)
        shutil.rmtree(calm)
        sink.came.clear()
    sink.shutdown()
    return {
        "runs": total,
        "crashes": crashes,
        "alarms": alarms,
        "messages": messages,
        "repeated": repeated,
        "found": found,
    }


def _folder(base: Path, sink: Sink) -> Path:
    folder = Path(tempfile.mkdtemp(dir=base))
    write_site(folder)
    (folder / "url").write_text(sink.url, "utf-8")
    return folder


def _difference(expected: dict[str, list[Any]], got: dict[str, list[Any]]) -> str:
    for table in TABLES:
        for number, (a, b) in enumerate(zip(expected[table], got[table], strict=False)):
            if a != b:
                odd = {k: (a[k], b[k]) for k in a if a[k] != b[k]}
                return f"{table} row {number} ({a.get('rule', a.get('event'))} {a.get('subject', '')}): {odd}"
        if len(expected[table]) != len(got[table]):
            return f"{table}: {len(expected[table])} rows undisturbed, {len(got[table])} after crashes"
    return "nothing"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--runs", type=int, default=50, help="of each seed")
    parser.add_argument("--steps", type=int, default=30, help="of a stream")
    parser.add_argument("--every-write", action="store_true")
    parser.add_argument("--base", type=Path, required=True)
    args = parser.parse_args()
    print(json.dumps(campaign(args.seeds, args.every_write, args.runs, args.base, args.steps)))  # noqa: T201 # its result


if __name__ == "__main__":
    main()
