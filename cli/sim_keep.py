"""Runs that were judged, kept in a folder, so that a score of hours goes on where it was interrupted.

A run is one JSON file, `STORY-NETWORK-SEED-MADE_OF.json`; MADE_OF is a digest of everything its outcome depends on, so
a run of another story text, network, rule, profile or version of the product is made anew and lies beside it.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from cli.sim_score import FalseAlarm, Judged, Verdict
from contract.errors import StartError
from gateway.sites.register import write_whole
from simulators.hydraulics.mapping import load_mapping
from simulators.story import find_story

Job = tuple[str, str, int]
"""Story, network, seed."""
_HOUSE = Path(__file__).resolve().parent.parent
_PARTS = ("contract", "rules", "edge_agents", "gateway", "simulators", "cli")
_OTHERS = ("gateway/web", "simulators/stories", "simulators/hydraulics/networks")
"""Of those, what no run depends on, or only those that name it."""


class Kept:
    """Runs in a folder, which is made when there is none. Raises StartError: it cannot be."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StartError(f"--keep {folder}: {exc.strerror}. Name a folder that you may write.") from exc
        self._folder = folder

    def get(self, job: Job) -> Judged | None:
        """That run as it was judged; None when it was not yet, or its file is damaged."""
        try:
            found = json.loads(self._file(job).read_text("utf-8"))
            return Judged(
                [Verdict(**each) for each in found["verdicts"]], [FalseAlarm(**each) for each in found["false"]],
                found["device_months"], found["is_quiet"],
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, job: Job, judged: Judged) -> None:
        """Keep a run, whole or not at all. Raises StartError: it cannot be written."""
        found = {
            **judged._asdict(),
            "verdicts": [each._asdict() for each in judged.verdicts],
            "false": [each._asdict() for each in judged.false],
        }
        text = json.dumps(found, ensure_ascii=False, indent=1) + "\n"
        try:
            write_whole(self._file(job), text.encode())
        except OSError as exc:
            raise StartError(
                f"--keep {self._folder}: {exc.strerror}. Mend it and go on with the same command."
            ) from exc

    def _file(self, job: Job) -> Path:
        story, network, seed = job
        return self._folder / f"{Path(story).stem}-{Path(network).stem}-{seed}-{made_of(story, network)}.json"


def made_of(story: str, network: str) -> str:
    """Digest of what a run depends on beside its seed. Raises ConfigError: there is no such story or network."""
    where = load_mapping(network)
    return _digest([find_story(story), where.path, where.network_path], _product())[:12]


@cache
def _product() -> str:
    """Digest of rules, profiles and what plays and judges them. The version alone stays the same between two
    commits."""
    others = [_HOUSE / name for name in _OTHERS]
    files = [
        file
        for part in _PARTS
        for file in sorted((_HOUSE / part).rglob("*"))
        if file.suffix in (".py", ".yaml") and not any(file.is_relative_to(other) for other in others)
    ]
    return _digest(files, version("weizhan"))


def _digest(files: list[Path], more: str) -> str:
    digest = hashlib.sha256(more.encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
