"""Gateway and pages run as an ordinary user who may write into the data folder and nowhere else."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from cli.processes import CONFIG_EXIT
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from tests.parts.process import free_port
from tests.system.test_start import CONFIG, SITE

UID = 1000
ROOT = Path(__file__).parents[2]
NEW = "three short horns at noon"


@pytest.fixture
def place() -> Iterator[Path]:
    """A configuration that its user can read and not write, and a data folder that is theirs."""
    folder = Path(tempfile.mkdtemp(prefix="weizhan-user-"))
    try:
        (folder / "site.yaml").write_text(SITE.replace("PORT", str(free_port())), "utf-8")
        (folder / "secret").write_text("secret\n", "utf-8")
        text = CONFIG.replace("BROKER", str(free_port())).replace("WEB", str(free_port()))
        (folder / "weizhan.yaml").write_text(text, "utf-8")
        (folder / "gateway").mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder / "gateway", UID, UID)
        for path in folder.glob("*.yaml"):
            path.chmod(0o444)
        (folder / "secret").chmod(0o444)
        folder.chmod(0o555)
        yield folder
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


ENV = {**os.environ, "HOME": "/nonexistent", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}


class User(NamedTuple):
    """Who runs things, and the Python they may run."""

    who: dict[str, Any]
    python: str


@functools.cache
def user() -> User:
    """Root becomes an ordinary user without groups; anybody else is one."""
    if os.geteuid() != 0:
        return User({}, sys.executable)
    who = {"user": UID, "group": UID, "extra_groups": []}
    # The one of a developer may stand in a home folder; the system's own of the same version does as well.
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            asked = [python, "-P", "-c", "import cli.main, msgspec"]
            subprocess.run(asked, check=True, capture_output=True, cwd="/", env=ENV, **who)
            return User(who, python)
    said = f"user {UID} can run neither {sys.executable} nor the system's Python here: make them readable for everybody"
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)


@contextmanager
def running(section: str, folder: Path, user: User) -> Iterator[int]:
    """A process of the product as that user; gives its number."""
    said = tempfile.TemporaryFile()  # noqa: SIM115 # closed below
    command = [user.python, "-P", "-m", "cli.main", section, "run", "-c", str(folder / "weizhan.yaml")]
    process = subprocess.Popen(command, cwd=folder, stderr=said, stdout=said, env=ENV, **user.who)
    try:
        yield process.pid
        said.seek(0)
        assert process.poll() is None, said.read().decode()
    finally:
        process.terminate()
        process.wait(20)
        said.close()


def wait_for(what: str, condition: object, within_s: float = 40.0) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + within_s
    while not condition():  # type: ignore[operator]  # a callable
        assert time.monotonic() < deadline, f"waited {within_s:g} s for {what}"
        time.sleep(0.05)


def test_pages_serve_and_the_gateway_commits_when_they_run_as_an_ordinary_user(place: Path) -> None:
    """No root anywhere, no home folder, configuration read-only: a person signs in and it stands in the ledger."""
    runs, port = user(), int((place / "weizhan.yaml").read_text("utf-8").rpartition("port: ")[2].split("}")[0])
    before = {path.name: path.stat().st_mtime_ns for path in place.iterdir() if path.is_file()}
    with ExitStack() as stack:
        pids = [stack.enter_context(running(section, place, runs)) for section in ("gateway", "web")]
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15))
        passwords = place / "gateway" / "one-time-passwords.txt"
        wait_for("the gateway", lambda: (place / "gateway" / "control.sock").exists() and passwords.exists())
        wait_for("the pages", lambda: _is_ready(client))
        for pid in pids:
            ids = Path(f"/proc/{pid}/status").read_text("utf-8").split("Uid:")[1].split()[:4]
            assert "0" not in ids, ids
        words = dict(line.split() for line in passwords.read_text("utf-8").splitlines() if not line.startswith("#"))
        _post(client, "/sign-in", name="duty", password=words["duty"])
        assert _post(client, "/first-password", password=NEW, again=NEW).headers["location"] == "/"
        assert client.get("/").status_code == 200
    with LedgerReader(place / "gateway" / FILE) as ledger:
        assert "user.set_password" in {row.action for row in ledger.audit()}
    assert {path.name: path.stat().st_mtime_ns for path in place.iterdir() if path.is_file()} == before
    owners = {path.stat().st_uid for path in (place / "gateway").rglob("*")}
    assert owners == {runs.who.get("user", os.geteuid())}


def test_a_data_folder_that_may_not_be_written_is_named_when_the_gateway_starts(place: Path) -> None:
    """A sentence with the folder, no trace, and the code of a wrong configuration."""
    runs = user()
    (place / "gateway").chmod(0o500)
    if runs.who:
        os.chown(place / "gateway", 0, 0)
        (place / "gateway").chmod(0o555)
    command = [runs.python, "-P", "-m", "cli.main", "gateway", "run", "-c", str(place / "weizhan.yaml")]
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, timeout=60, check=False, env=ENV, **runs.who
    )
    assert (done.returncode, str(place / "gateway") in done.stderr, "Traceback" in done.stderr) == (
        CONFIG_EXIT, True, False,
    )  # fmt: skip


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _post(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    csrf = client.get(path).text.split('name="csrf" value="')[1].split('"')[0]
    return client.post(path, data={"csrf": csrf, **fields})
