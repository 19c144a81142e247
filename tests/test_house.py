"""The house is in order: directions of import, top level, sizes, nothing that names somebody's machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    *("gateway", "edge_agents", "rules", "firmware_stubs", "simulators", "tests"),
    *("contract", "cli", "bench", "deploy", "docs"),
}
MADE_HERE = {"weizhan.egg-info", "build", "var"}
"""Made by set-up or a run and ignored by git."""
FILES = {"CHANGELOG.md", "LICENSE", "Makefile", "README.md", "README.zh-CN.md", "constraints.txt", "pyproject.toml"}
MOST_LINES = 450
SOURCE = {".py", ".js", ".css", ".html", ".c", ".h", ".sh"}


def tracked() -> list[Path]:
    """Files git knows or would take; in a copy without git, all outside dot folders and what set-up made."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists() and shutil.which("git"):
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        if done.returncode == 0:
            paths = [ROOT / name for name in done.stdout.decode().split("\0") if name]
            return [path for path in paths if path.is_file()]
    skipped = {*MADE_HERE, "vendor", "__pycache__", "node_modules"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not any(part.startswith(".") or part in skipped for part in path.relative_to(ROOT).parts)
    ]


def _texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        raw = path.read_bytes()
        if b"\0" not in raw:
            found.append((path.relative_to(ROOT), raw.decode("utf-8")))
    return found


def test_import_contracts_hold_when_the_whole_house_is_read() -> None:
    """import-linter finds no import against the direction of the house."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_top_level_holds_only_the_house_when_listed() -> None:
    """Nothing stands at the top but the named folders and files, and dot files."""
    tops = {path.relative_to(ROOT).parts[0] for path in tracked()}
    visible = {name for name in tops if not name.startswith(".")}
    assert visible - FOLDERS - FILES - MADE_HERE == set()
    assert sorted(name for name in FOLDERS if not (ROOT / name).is_dir()) == []


def test_no_source_file_is_long_when_counted() -> None:
    """No source file has more than 450 lines; one that does wants to be two."""
    long = {
        str(path): lines
        for path, text in _texts()
        if path.suffix in SOURCE and (lines := text.count("\n")) > MOST_LINES
    }
    assert long == {}


def test_no_file_names_a_machine_or_registry_when_searched() -> None:
    """No file carries a path of somebody's machine or the address of a package registry."""
    # Put together here, so that this file does not hold what it looks for.
    machine = ["/" + "work/", "/" + "root/", "/" + "home/[a-z]", "/" + "Users/"]
    registry = ["pypi" + r"\.org", "files.python" + "hosted", "registry.npm" + "js", "deb.debian" + r"\.org"]
    registry += ["crates" + r"\.io", "proxy.golang" + r"\.org", "unp" + r"kg\.com", "jsdel" + "ivr"]
    pattern = re.compile("|".join([*machine, *registry]))
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in _texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_exceptions_are_explained_when_a_linter_is_silenced() -> None:
    """Each `noqa` and `type: ignore` has its reason on the same line."""
    bare = re.compile(r"#\s*(?:noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore(?:\[[\w, -]+\])?)\s*$")
    found = [
        f"{path}:{number}"
        for path, text in _texts()
        if path.suffix == ".py" and path.parts[0] != "tests"
        for number, line in enumerate(text.splitlines(), 1)
        if bare.search(line)
    ]
    assert found == []
