"""The guards every test stands under: nothing is left behind, and a missing real part is never passed over quietly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.process import require

ROOT = Path(__file__).parents[2]
CASES = """
import asyncio, subprocess, threading
import tests.conftest
tests.conftest.GRACE_S = 0.2
kept = []

async def test_task():
    kept.append(asyncio.create_task(asyncio.sleep(60), name="forgotten"))

def test_thread():
    thread = threading.Thread(target=threading.Event().wait, args=(1,), name="forgotten")
    kept.append(thread)
    thread.start()

def test_process():
    kept.append(subprocess.Popen(["sleep", "60"]))

async def test_clean():
    task = asyncio.create_task(asyncio.sleep(0))
    await asyncio.to_thread(int)
    subprocess.run(["true"])
    await task
"""


def test_test_fails_when_it_leaves_a_task_a_thread_or_a_process(tmp_path: Path) -> None:
    """The guard names what was left and spares a test that cleans up."""
    (tmp_path / "test_cases.py").write_text(CASES)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "-W", "ignore::ResourceWarning"]
    got = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True).stdout
    left = re.findall(r"^left behind: (.*)\. Stop what the test starts\.$", got, re.MULTILINE)
    assert [re.sub(r"\d+", "N", each) for each in left] == [
        "task forgotten",
        "thread forgotten",
        "process N sleep",
    ], got
    assert "4 passed, 3 errors" in got


@pytest.mark.parametrize(("ci", "outcome"), [("true", "Failed"), ("", "Skipped")])
def test_missing_part_fails_in_ci_and_skips_loudly_elsewhere(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: str
) -> None:
    """Both say which program is missing and which Debian package holds it."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(BaseException, match=r"no-such-server: not found .* apt-get install some-package") as caught:
        require("no-such-server", "some-package")
    assert type(caught.value).__name__ == outcome
