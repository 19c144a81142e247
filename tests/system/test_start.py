"""Starting: what is wrong is said before anything runs, and what is away is waited for."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.processes import CONFIG_EXIT
from gateway.ledger.reader import LedgerReader
from tests.parts.process import free_port

SITE = """\
site: shuiye
title: {zh: 水冶, en: Shuiye}
agents:
  - id: edge-1
    lines:
      - {id: t, kind: modbus_tcp, host: 127.0.0.1, port: PORT, devices: [{id: p, unit_id: 1, profile: pump-controller}]}
"""
CONFIG = """\
mqtt: {port: BROKER, password_file: secret}
agent: {site_file: site.yaml, agent_id: edge-1, data_dir: edge}
gateway: {sites: [site.yaml], data_dir: gateway}
history: {kind: embedded}
web: {port: WEB}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A sound configuration whose broker is away."""
    (tmp_path / "site.yaml").write_text(SITE.replace("PORT", str(free_port())), "utf-8")
    (tmp_path / "secret").write_text("secret\n", "utf-8")
    text = CONFIG.replace("BROKER", str(free_port())).replace("WEB", str(free_port()))
    (tmp_path / "weizhan.yaml").write_text(text, "utf-8")
    return tmp_path / "weizhan.yaml"


def weizhan(*args: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )


@contextmanager
def running(*args: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that keeps running; it must still run at the end, and stop on SIGTERM."""
    with (folder / f"{args[0]}.log").open("a") as log:
        process = subprocess.Popen([sys.executable, "-P", "-m", "cli.main", *args], cwd=folder, stderr=log, text=True)
    try:
        yield process
        assert process.poll() is None, (folder / f"{args[0]}.log").read_text("utf-8")
    finally:
        process.terminate()
        process.wait(20)


def wait_for(condition: object, what: str, timeout_s: float = 30.0) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]  # a callable
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.05)


def test_sound_configuration_is_good(config: Path) -> None:
    """`weizhan check` says so and ends with 0."""
    done = weizhan("check", config.name, folder=config.parent)

    assert (done.returncode, done.stdout) == (0, "weizhan.yaml: good (agent, gateway).\n")


@pytest.mark.parametrize(
    ("file", "old", "new", "text"),
    [
        ("site.yaml", "unit_id: 1", "unit_id: 300",
         "site.yaml:6: agents[0].lines[0].devices[0].unit_id: got 300, want less than or equal to 247."),
        ("weizhan.yaml", "agent_id: edge-1", "agent_id: edge-7",
         "weizhan.yaml:2: agent.agent_id: got 'edge-7', want one of edge-1"),
        ("weizhan.yaml", "kind: embedded", "kind: embeded", "weizhan.yaml:4: history: got"),
        ("weizhan.yaml", "data_dir: gateway", "data_dirr: gateway",
         "weizhan.yaml:3: gateway.data_dirr: got an unknown key. Did you mean 'data_dir'?"),
        ("weizhan.yaml", "password_file: secret", "password_file: nowhere",
         "nowhere: No such file or directory. mqtt.password_file must name a readable file."),
        ("weizhan.yaml", "data_dir: gateway", "data_dir: gateway, rule_overrides: {panel-fir: {for_s: 1}}",
         "weizhan.yaml:3: gateway.rule_overrides.panel-fir: got no such rule, want one of agent-lost,"),
        ("weizhan.yaml", "{port:", "{port",  "weizhan.yaml:1: "),
    ],
    ids=["site file", "agent id", "history kind", "unknown key", "secret", "override", "yaml"],
)  # fmt: skip
def test_check_and_start_say_the_same_when_the_configuration_is_wrong(
    config: Path, file: str, old: str, new: str, text: str
) -> None:
    """Both name file, line, got and wanted, and end with the code of a wrong configuration."""
    path = config.parent / file
    assert old in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")

    checked = weizhan("check", config.name, folder=config.parent)
    section = "edge" if "agent_id" in old else "gateway"
    started = weizhan(section, "run", "-c", config.name, folder=config.parent)

    assert text in checked.stderr
    assert checked.stderr == started.stderr
    assert (checked.returncode, started.returncode) == (CONFIG_EXIT, CONFIG_EXIT)
    assert "Traceback" not in checked.stderr


def test_absent_configuration_is_named(tmp_path: Path) -> None:
    """A start without a file says which one it looked for."""
    done = weizhan("gateway", "run", folder=tmp_path)

    assert "weizhan.yaml: No such file or directory. Check the path." in done.stderr
    assert done.returncode == CONFIG_EXIT


def test_second_gateway_on_a_data_folder_is_refused(config: Path) -> None:
    """It ends within seconds and names who holds the folder; the first goes on."""
    folder = config.parent
    with running("gateway", "run", "-c", config.name, folder=folder) as first:
        wait_for(lambda: (folder / "gateway" / "control.sock").exists(), "the first gateway")

        second = weizhan("gateway", "run", "-c", config.name, folder=folder)

    assert second.returncode == CONFIG_EXIT
    assert str(first.pid) in second.stderr
    assert str(folder / "gateway") in second.stderr
    assert "Traceback" not in second.stderr


def test_second_agent_on_a_data_folder_is_refused(config: Path) -> None:
    """The outbox has one owner."""
    folder = config.parent
    with running("edge", "run", "-c", config.name, folder=folder):
        wait_for(lambda: (folder / "edge" / "status.json").exists(), "the first agent")

        second = weizhan("edge", "run", "-c", config.name, folder=folder)

    assert second.returncode == CONFIG_EXIT
    assert str(folder / "edge") in second.stderr
    assert "Traceback" not in second.stderr


def test_taken_port_of_the_pages_is_named(config: Path) -> None:
    """The pages end with the port in the text."""
    folder = config.parent
    port = int(config.read_text("utf-8").rpartition("port: ")[2].split("}")[0])
    with running("gateway", "run", "-c", config.name, folder=folder), socket.socket() as taken:
        wait_for(lambda: (folder / "gateway" / "control.sock").exists(), "the gateway")
        taken.bind(("127.0.0.1", port))
        taken.listen()

        done = weizhan("web", "run", "-c", config.name, folder=folder)

    assert done.returncode == CONFIG_EXIT
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_broker_and_store_away_at_start_are_waited_for(config: Path) -> None:
    """Gateway and agent start, say once what is away, and keep running."""
    folder = config.parent
    history = f"{{kind: influx1, url: 'http://127.0.0.1:{free_port()}'}}"
    config.write_text(config.read_text("utf-8").replace("{kind: embedded}", history), "utf-8")
    with (
        running("gateway", "run", "-c", config.name, folder=folder),
        running("edge", "run", "-c", config.name, folder=folder),
    ):
        logs = {name: folder / f"{name}.log" for name in ("gateway", "edge")}
        wait_for(lambda: "broker 127.0.0.1" in logs["gateway"].read_text("utf-8"), "the gateway's word on the broker")
        wait_for(lambda: "broker 127.0.0.1" in logs["edge"].read_text("utf-8"), "the agent's word on the broker")
        wait_for(lambda: (folder / "gateway" / "ledger.sqlite").exists(), "the ledger")

    with LedgerReader(folder / "gateway" / "ledger.sqlite") as ledger:
        assert {user.role for user in ledger.users()} == {"duty", "maintainer", "inspector", "administrator"}
