"""`weizhan rules check`, `test` and `list`: what stands in packs, and whether it does what its cases say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli.settings import Settings
from contract import configfile
from contract.errors import ConfigError
from contract.profile import ProfileLibrary
from contract.site import Site, load_site
from rules.cases import Expected, Outcome, load_cases, run_case
from rules.check import Finding, Read, cases_of, check_limits, check_packs, files_of, idle_rules
from rules.model import PACKS, Pack, Rule, load_packs, pack_files, read_packs

WIDTH = 60
"""Columns of a drawn time line."""


def rules_in_force(settings: Settings | None) -> dict[str, Rule]:
    """The rules a gateway of these settings runs; the shipped ones without. Raises ConfigError."""
    if settings is None or settings.gateway is None:
        return load_packs()
    return load_packs(settings.gateway.rule_folders, settings.gateway.rule_overrides)


def find_all(paths: list[Path], settings: Settings | None) -> tuple[list[Finding], int]:
    """Everything worth saying about these packs (all in force when none is named), and the number of rules read."""
    gateway = settings.gateway if settings is not None else None
    own = gateway.rule_folders if gateway is not None else []
    files = files_of(paths) if paths else [path for folder in [PACKS, *own] for path in pack_files(folder)]
    around = _around(files, own)
    read, findings = check_packs(files, around)
    findings += _displaced(read, own) if paths else []
    if gateway is not None:
        known = {**around, **{rule.id: rule for each in read for rule in each.pack.rules}}
        sites: list[Site] = []
        for path in gateway.sites:
            try:
                site = load_site(path, ProfileLibrary(gateway.profiles))
            except ConfigError as exc:
                where, _, text = str(exc).partition(": ")
                findings.append(Finding(where, text, True))
                continue
            sites.append(site)
            findings += check_limits(path, site, known)
        if paths:  # what is shipped for equipment a site does not have is no news
            findings += idle_rules(read, sites)
        if not paths and not findings:
            rules_in_force(settings)
    return sorted(findings, key=lambda finding: not finding.is_error), sum(len(each.pack.rules) for each in read)


def run_tests(paths: list[Path], settings: Settings | None, every: bool) -> bool:
    """Run the cases of these packs (all in force when none is named) and print how each went."""
    gateway = settings.gateway if settings is not None else None
    own = gateway.rule_folders if gateway is not None else []
    files = files_of(paths) if paths else [path for path, _ in read_packs(own)]
    read, findings = check_packs(files, _around(files, own))
    if wrong := [str(finding) for finding in findings if finding.is_error]:
        raise ConfigError("\n".join(wrong))
    known = {**_around(files, own), **{rule.id: rule for each in read for rule in each.pack.rules}}
    library = ProfileLibrary(gateway.profiles if gateway is not None else [])
    console = Console(highlight=False)
    failed, ran, tested = 0, 0, set()
    for each in read:
        cases = load_cases(cases_of(each.path)) if cases_of(each.path).is_file() else []
        for case in cases:
            outcome = run_case(case, known, library)
            ran, failed = ran + 1, failed + (not outcome.passed)
            tested.add(case.rule)
            if every or not outcome.passed:
                print_outcome(console, outcome)
    untested = [rule.id for each in read for rule in each.pack.rules if rule.id not in tested]
    for rule in untested:
        console.print(f"note: rule {rule} has no case.")
    console.print(f"{ran} cases, {failed} failed, {len(untested)} rules without a case.")
    return not failed


def print_outcome(console: Console, outcome: Outcome) -> None:
    """A case with what was expected and what came, each on a time line."""
    case = outcome.case
    word = Text("pass", "green") if outcome.passed else Text("FAIL", "bold red")
    console.print(word, f"{case.rule}: {case.name.en}")
    for name, decisions in (("expected", case.expect), ("got", outcome.got)):
        told = ", ".join(f"{each.event} {each.at:g} s" for each in decisions) or "nothing"
        console.print(f"  {name:>8} {draw_line(decisions, case.until)} {told}", soft_wrap=True)


def draw_line(decisions: Iterable[Expected], until_s: float, width: int = WIDTH) -> str:
    """Decisions on a line of time from 0 to `until_s`: ▲ raise, ▼ clear, ◆ anything else."""
    line = ["─"] * width
    for each in decisions:
        at = min(width - 1, max(0, int(each.at / until_s * width)))
        line[at] = {"raise": "▲", "clear": "▼"}.get(each.event, "◆")
    return "".join(line)


def _around(files: Iterable[Path], own: list[Path]) -> dict[str, Rule]:
    """The rules that stand elsewhere than in these files, as far as they are sound."""
    found: dict[str, Rule] = {}
    for _, pack in _others(files, own):
        found |= {rule.id: rule for rule in pack.rules}
    return found


def _others(files: Iterable[Path], own: list[Path]) -> list[tuple[Path, Pack]]:
    """The packs whose place none of these files takes."""
    mine, names = {path.resolve() for path in files}, _names(files)
    return [
        (path, pack) for path, pack in read_packs(_sound(own)) if path.resolve() not in mine and pack.pack not in names
    ]


def _names(files: Iterable[Path]) -> set[str]:
    names = set()
    for path in files:
        try:
            names.add(configfile.load(path, Pack).pack)
        except ConfigError:
            continue  # told by the check of that file itself
    return names


def _displaced(read: Iterable[Read], own: list[Path]) -> Iterator[Finding]:
    """Rules that go because a pack takes the place of another one of its name."""
    standing = {pack.pack: (path, pack) for path, pack in read_packs(_sound(own))}
    for each in read:
        path, pack = standing.get(each.pack.pack, (each.path, each.pack))
        kept = {rule.id for other in read for rule in other.pack.rules}
        gone = sorted(rule.id for rule in pack.rules if rule.id not in kept)
        if path.resolve() != each.path.resolve() and gone:
            text = f"pack {pack.pack}: takes the place of {path}; these rules go with it: {', '.join(gone)}."
            yield Finding(each.at("pack"), text, False)


def _sound(folders: list[Path]) -> list[Path]:
    sound = []
    for folder in folders:
        try:
            read_packs([folder])
        except ConfigError:
            continue  # told by the check of that folder itself
        sound.append(folder)
    return sound
