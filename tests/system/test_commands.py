"""The commands a person types beside the demo: up, history export, audit verify, user reset, and the demo itself."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from cli.processes import CONFIG_EXIT
from contract.errors import RetryLater
from gateway.history.base import Row
from gateway.history.embedded import EmbeddedHistory
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port
from tests.system.test_start import SITE, running, wait_for, weizhan

CONFIG = """\
mqtt: {port: BROKER}
agent: {site_file: site.yaml, agent_id: edge-1, data_dir: edge,
        broker_user: {username: shuiye/edge-1, password_file: E}}
gateway: {sites: [site.yaml], data_dir: gateway,
          broker_user: {username: gateway, password_file: G}}
history: {kind: embedded}
web: {port: WEB}
"""
T0 = 1_700_000_000_000


def write(folder: Path, broker: Mosquitto | None = None) -> Path:
    """A whole configuration, for the real broker where there is one."""
    (folder / "site.yaml").write_text(SITE.replace("PORT", str(free_port())), "utf-8")
    secrets = {"E": folder / "edge.secret", "G": folder / "gateway.secret"}
    for name, user in (("E", "shuiye/edge-1"), ("G", "gateway")):
        secrets[name].write_text(broker.password(user) if broker else "secret", "utf-8")
    text = CONFIG.replace("BROKER", str(broker.port if broker else free_port())).replace("WEB", str(free_port()))
    for name, file in secrets.items():
        text = text.replace(f"password_file: {name}}}", f"password_file: {file.name}}}")
    (folder / "weizhan.yaml").write_text(text, "utf-8")
    return folder / "weizhan.yaml"


def test_up_runs_agent_gateway_and_pages_with_the_shipped_broker_setup(tmp_path: Path) -> None:
    """One file, one command, a broker that lets each user in once: both are connected and stay so."""
    with Mosquitto(("shuiye/edge-1",)) as broker:
        config = write(tmp_path, broker)
        url = f"http://127.0.0.1:{config.read_text('utf-8').rpartition('port: ')[2].split('}')[0]}"
        with running("up", "-c", config.name, folder=tmp_path):
            ledger = tmp_path / "gateway" / FILE
            wait_for(lambda: _agent_online(ledger), "the agent's state at the gateway", 60)
            wait_for(lambda: _answers(f"{url}/healthz"), "the pages", 60)
            connects = broker.log_text().count("New client connected")
            wait_for(lambda: _heartbeats(ledger) >= 2, "a second heartbeat", 90)
            again = broker.log_text().count("New client connected") - connects

    assert again == 0


def test_one_broker_user_for_agent_and_gateway_is_refused(tmp_path: Path) -> None:
    """The text says which user, where, and what to do."""
    config = write(tmp_path)
    config.write_text(config.read_text("utf-8").replace("username: shuiye/edge-1", "username: gateway"), "utf-8")

    done = weizhan("check", config.name, folder=tmp_path)

    assert done.returncode == CONFIG_EXIT
    assert "got 'gateway' for agent and gateway, want a user each" in done.stderr


async def test_history_export_writes_what_a_spreadsheet_can_read(tmp_path: Path) -> None:
    """Samples with header; a text that looks like a formula is disarmed; buckets of numbers."""
    config = write(tmp_path)
    async with EmbeddedHistory(tmp_path / "gateway" / "history") as history:
        rows = [Row("shuiye", "p", "outlet_pressure_kpa", T0 + n * 1000, 600.0 + n, "good") for n in range(3)]
        rows += [Row("shuiye", "p", "mode", T0, "=1+1", "good")]
        await history.write(rows, lambda bad, why: pytest.fail(f"{bad}: {why}"))
    span = ("--site", "shuiye", "--from", "2023-11-14T22:13:20", "--to", "2023-11-14T23:00:00", "-c", config.name)

    pressure = weizhan("history", "export", *span, "--point", "p/outlet_pressure_kpa", "-o", "a.csv", folder=tmp_path)
    weizhan("history", "export", *span, "--point", "p/mode", "-o", "b.csv", folder=tmp_path)
    bucket = ("--bucket-s", "60", "-o", "c.jsonl")
    weizhan("history", "export", *span, "--point", "p/outlet_pressure_kpa", *bucket, folder=tmp_path)

    assert pressure.stdout == "a.csv: 3 rows.\n"
    lines = (tmp_path / "a.csv").read_text("utf-8").splitlines()
    assert lines[:2] == ["time,value,quality,observed_ms", f"2023-11-14T22:13:20.000+00:00,600.0,good,{T0}"]
    assert "'=1+1" in (tmp_path / "b.csv").read_text("utf-8")
    assert '"min": 600.0, "mean": 601.0, "max": 602.0, "count": 3' in (tmp_path / "c.jsonl").read_text("utf-8")


@pytest.mark.parametrize(
    ("point", "more", "text"),
    [
        ("p/pressure", (), "--point: got 'pressure' of p, want one of mode, power_ok"),
        ("q/mode", (), "--point: got device shuiye/q, want one of p."),
        ("p/mode", ("--bucket-s", "60"), "--bucket-s: got it for p/mode, which is no number. Leave it out."),
    ],
)
def test_history_export_refuses_what_nobody_knows(tmp_path: Path, point: str, more: tuple[str, ...], text: str) -> None:
    """A wrong name gives an error that lists the right ones, not an empty file."""
    config = write(tmp_path)
    span = ("--site", "shuiye", "--from", "2023-11-14", "--to", "2023-11-15", "-c", config.name, "-o", "a.csv")

    done = weizhan("history", "export", *span, "--point", point, *more, folder=tmp_path)

    assert done.returncode == CONFIG_EXIT
    assert text in done.stderr
    assert not (tmp_path / "a.csv").exists()


def test_audit_verify_finds_a_changed_row_and_a_tail_that_was_cut(tmp_path: Path) -> None:
    """Whole: the head is printed. Cut: found against a head kept elsewhere. Changed: the row is named."""
    config = write(tmp_path)
    nothing = weizhan("audit", "verify", "-c", config.name, folder=tmp_path)
    with running("gateway", "run", "-c", config.name, folder=tmp_path):
        wait_for(lambda: (tmp_path / "gateway" / "control.sock").exists(), "the gateway")
    whole = weizhan("audit", "verify", "-c", config.name, folder=tmp_path)
    head = re.search(r"Head: (\d+:[0-9a-f]{64})", whole.stdout)
    assert head is not None, whole.stdout + whole.stderr
    _tamper(tmp_path / "gateway" / FILE, "DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)")
    unseen = weizhan("audit", "verify", "-c", config.name, folder=tmp_path)
    cut = weizhan("audit", "verify", "-c", config.name, "--head", head[1], folder=tmp_path)
    _tamper(tmp_path / "gateway" / FILE, "UPDATE audit SET actor = 'nobody' WHERE id = 2")
    changed = weizhan("audit", "verify", "-c", config.name, folder=tmp_path)

    assert "got no ledger, want one" in nothing.stderr
    assert (unseen.returncode, cut.returncode, changed.returncode) == (0, 1, 1)
    assert "audit row 2: row 2 was changed" in changed.stderr
    assert "Traceback" not in nothing.stderr + cut.stderr + changed.stderr


def test_user_reset_gives_a_new_one_time_password(tmp_path: Path) -> None:
    """Who forgot a password gets in again, and the audit says who was reset."""
    config = write(tmp_path)
    away = weizhan("user", "reset", "duty", "-c", config.name, folder=tmp_path)
    with running("gateway", "run", "-c", config.name, folder=tmp_path):
        wait_for(lambda: (tmp_path / "gateway" / "control.sock").exists(), "the gateway")
        with LedgerReader(tmp_path / "gateway" / FILE) as ledger:
            before = ledger.user("duty")
            done = weizhan("user", "reset", "duty", "-c", config.name, folder=tmp_path)
            after = ledger.user("duty")
            audited = [row.subject for row in ledger.audit() if row.action == "user.reset"]
        wrong = weizhan("user", "reset", "nobody", "-c", config.name, folder=tmp_path)
        enabled = weizhan("user", "enable", "duty", "-c", config.name, folder=tmp_path)
        listed = weizhan("user", "list", "-c", config.name, folder=tmp_path)

    assert "Is the gateway running?" in away.stderr
    assert re.fullmatch(r"duty [a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4}\n", done.stdout)
    assert before is not None
    assert after is not None
    assert after.password_hash != before.password_hash
    assert audited == ["duty"]
    assert wrong.returncode == CONFIG_EXIT
    assert enabled.returncode == 0
    assert listed.stdout.splitlines()[:2] == [
        "administrator administrator - one-time-password",
        "duty duty - one-time-password",
    ]


def test_demo_tells_where_it_is_and_ends_with_control_c(tmp_path: Path) -> None:
    """The address answers, the passwords are printed, and nothing is left running."""
    said = tmp_path / "said"
    command = [sys.executable, "-P", "-m", "cli.main", "demo", "--port", str(free_port())]
    with said.open("w") as log:
        demo = subprocess.Popen(command, stderr=log, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        wait_for(lambda: "administrator" in said.read_text("utf-8"), "the demo", 90)
        found = re.search(r"http://127\.0\.0\.1:\d+/", said.read_text("utf-8"))
        assert found is not None
        signs_in = _answers(f"{found[0]}sign-in")
        children = psutil.Process(demo.pid).children(recursive=True)
    finally:
        demo.send_signal(signal.SIGINT)
        code = demo.wait(30)

    assert signs_in
    assert code == 0
    assert len(children) >= 5
    assert [child.pid for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert [path.name for path in tmp_path.iterdir()] == ["said"]


def _agent_online(ledger: Path) -> bool:
    return any(agent.online for agent in _agents(ledger))


def _heartbeats(ledger: Path) -> int:
    """Whole heartbeats (10 s) the agent has lived, as the gateway heard it."""
    return max(((a.heard_ms - a.state.get("started_ms", a.heard_ms)) // 10_000 for a in _agents(ledger)), default=0)


def _agents(ledger: Path) -> list:  # type: ignore[type-arg]  # rows of the reader
    if not ledger.exists():
        return []
    try:
        with LedgerReader(ledger) as reader:
            return reader.agents()
    except (RetryLater, sqlite3.OperationalError):
        return []  # being made


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _tamper(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(
        f"DROP TRIGGER IF EXISTS audit_no_update; DROP TRIGGER IF EXISTS audit_no_delete; {statement};"
    )
    connection.close()
