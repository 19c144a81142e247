"""Everything that is wrong with rule packs, their cases and the limits of devices, with file and line; and what is
allowed and yet hardly meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from contract import configfile
from contract.errors import ConfigError
from contract.profile import BUILT_IN, ONLINE, Profile
from contract.site import Placed, Site
from rules.cases import CaseFile
from rules.model import AlarmIs, Findings, Pack, Rule, pack_files, with_limits

CASES = ".cases.yaml"


class Finding(NamedTuple):
    """Something found. where: `file:line`."""

    where: str
    text: str
    is_error: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class Read(NamedTuple):
    """A pack file that could be read, with its nodes, which know their lines."""

    path: Path
    node: yaml.Node | None
    pack: Pack

    def at(self, *loc: int | str) -> str:
        """`file:line` of a place in it."""
        return f"{self.path}:{configfile.locate(self.node, loc)[0]}"


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The pack files that these files and folders name, each once.

    Raises:
        ConfigError: a path is neither, or a folder without packs.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            here = pack_files(path)
            if not here:
                raise ConfigError(f"{path}: got a folder without packs, want NAME.yaml files in it.")
            found += here
        elif path.is_file():
            found.append(path)
        else:
            raise ConfigError(f"{path}: no such file or folder. Check the path.")
    return list(dict.fromkeys(found))


def cases_of(path: Path) -> Path:
    """Where the cases of a pack stand."""
    return path.with_name(f"{path.stem}{CASES}")


def check_packs(files: Iterable[Path], around: Mapping[str, Rule]) -> tuple[list[Read], list[Finding]]:
    """Read pack files and find what is wrong in form, names, references and cases.

    Args:
        around: rules that stand elsewhere and may be referred to; one that a file has too is replaced by it.
    """
    read: list[Read] = []
    findings: list[Finding] = []
    for path in files:
        try:
            node = configfile.read_node(path)
            read.append(Read(path, node, configfile.validate(configfile.build(node, path), Pack, path, node)))
        except ConfigError as exc:
            findings += _lines_of(exc)
    findings += _repeated(read)
    known = {*around, *(rule.id for each in read for rule in each.pack.rules)}
    for each in read:
        findings += _lost_references(each, known)
        findings += _check_cases(each, known)
    return read, findings


def check_limits(path: Path, site: Site, rules: Mapping[str, Rule]) -> Iterator[Finding]:
    """Limits of a site's devices that name no rule, do not fit it, or belong to a rule that does not watch them."""
    node = configfile.read_node(path)
    for loc, placed in _located(site):
        for rule_id, limits in placed.entry.limits.items():
            line, key = configfile.locate(node, (*loc, "limits", rule_id))
            where = f"{path}:{line}"
            rule = rules.get(rule_id)
            if rule is None:
                yield Finding(where, f"{key}: got no such rule, want one of `weizhan rules list`.", True)
                continue
            try:
                with_limits(rule, limits, key)
            except ConfigError as exc:
                yield Finding(where, str(exc), True)
            if not watches(rule, placed.profile, placed.entry.points):
                yield Finding(where, f"{key}: the rule does not watch a {placed.profile.id}.", False)


def idle_rules(read: Iterable[Read], sites: Iterable[Site]) -> Iterator[Finding]:
    """Rules that watch nothing in these sites."""
    kinds = {(placed.profile.id, placed.entry.points): placed.profile for site in sites for placed in site.placed()}
    for each in read:
        for n, rule in enumerate(each.pack.rules):
            if rule.applies_to and not any(watches(rule, profile, points) for (_, points), profile in kinds.items()):
                text = f"rule {rule.id}: watches nothing in the configured sites ({', '.join(rule.applies_to)})."
                yield Finding(each.at("rules", n, "id"), text, False)


def watches(rule: Rule, profile: Profile, points: int | None) -> bool:
    """Whether the rule looks at anything of a device of that profile."""
    names = [point.name for point in profile.points_for(points)] + [*BUILT_IN, ONLINE]
    if any(rule.applies(profile.id, name) for name in names):
        return True
    # A panel or printer has the points it speaks of: a pattern for its profile is enough.
    return profile.is_listened_to and any(rule.applies(profile.id, p.partition("/")[2]) for p in rule.applies_to)


def _located(site: Site) -> Iterator[tuple[tuple[Any, ...], Placed]]:
    placed = iter(site.placed())
    for a, agent in enumerate(site.agents):
        for n, line in enumerate(agent.lines):
            for d, _ in enumerate(line.devices):
                yield ("agents", a, "lines", n, "devices", d), next(placed)


def _lines_of(exc: ConfigError) -> Iterator[Finding]:
    for text in str(exc).splitlines():
        where, _, rest = text.partition(": ")
        yield Finding(where, rest, True)


def _repeated(read: Iterable[Read]) -> Iterator[Finding]:
    first: dict[str, str] = {}
    packs: dict[tuple[Path, str], Path] = {}
    for each in read:
        key = each.path.parent, each.pack.pack
        if key in packs:
            yield Finding(each.at("pack"), f"pack: got {each.pack.pack!r}, which {packs[key]} has too.", True)
        packs.setdefault(key, each.path)
        for n, rule in enumerate(each.pack.rules):
            where = each.at("rules", n, "id")
            if rule.id in first:
                text = f"rules[{n}].id: got {rule.id!r} again (first at {first[rule.id]}), want each id once."
                yield Finding(where, text, True)
            first.setdefault(rule.id, where)


def _lost_references(each: Read, known: set[str]) -> Iterator[Finding]:
    for n, rule in enumerate(each.pack.rules):
        for i, inhibit in enumerate(rule.inhibit_by):
            if inhibit.rule not in known:
                where = each.at("rules", n, "inhibit_by", i, "rule")
                yield _no_rule(where, f"rules[{n}].inhibit_by[{i}].rule", inhibit.rule, known)
        for leaf in rule.leaves():
            for name in leaf.rules if isinstance(leaf, AlarmIs | Findings) else ():
                if name not in known:
                    yield _no_rule(each.at("rules", n, "when"), f"rules[{n}].when ({rule.id})", name, known)


def _no_rule(where: str, key: str, name: str, known: set[str]) -> Finding:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "See `weizhan rules list`."
    return Finding(where, f"{key}: got rule {name!r}, want one that stands in a pack. {hint}", True)


def _check_cases(each: Read, known: set[str]) -> Iterator[Finding]:
    path = cases_of(each.path)
    if not path.is_file():
        yield Finding(each.at("pack"), f"pack {each.pack.pack}: got no cases. Put {path.name} beside it.", False)
        return
    try:
        node = configfile.read_node(path)
        cases = configfile.validate(configfile.build(node, path), CaseFile, path, node).cases
    except ConfigError as exc:
        yield from _lines_of(exc)
        return
    for n, case in enumerate(cases):
        if case.rule not in known:
            where = f"{path}:{configfile.locate(node, ('cases', n, 'rule'))[0]}"
            yield _no_rule(where, f"cases[{n}].rule", case.rule, known)
