"""`weizhan rules ...`: check rules, run their cases, try them on history, put them in force, ask why."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failures import errors
from contract.errors import ConfigError

if TYPE_CHECKING:
    from cli.settings import Settings

rules = typer.Typer(no_args_is_help=True, help="Rules: check, test, try on history, put in force, explain.")
lab = typer.Typer(no_args_is_help=True, help="Try rules on the stored history.")
golden = typer.Typer(no_args_is_help=True, help="Incidents that must always raise their alarm.")
rules.add_typer(lab, name="lab")
rules.add_typer(golden, name="golden")

DEFAULT = Path("weizhan.yaml")
Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@rules.command("check")
def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Packs or folders of packs.")] = None,
    config: Config = DEFAULT,
) -> None:
    """Say what is wrong with packs, cases and limits of devices, with file and line; status 2 when something is.

    Without paths: everything the configuration has in force, or the shipped packs where there is none.
    """
    from cli.rules_check import find_all

    with errors():
        findings, count = find_all(paths or [], _settings(config, needed=config != DEFAULT))
    for finding in findings:
        kind = "" if finding.is_error else "note: "
        print(f"{kind}{finding}", file=sys.stderr if finding.is_error else sys.stdout)
    if any(finding.is_error for finding in findings):
        raise typer.Exit(2)
    print(f"{count} rules: good.")


@rules.command("test")
def run_cases(
    paths: Annotated[list[Path] | None, typer.Argument(help="Packs or folders of packs; the shipped ones.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Draw the cases that pass as well.")] = False,
    config: Config = DEFAULT,
) -> None:
    """Run the cases beside packs; draws what was expected and what came on a time line. Status 1 when one fails."""
    from cli.rules_check import run_tests

    with errors():
        is_good = run_tests(paths or [], _settings(config, needed=config != DEFAULT), every)
    if not is_good:
        raise typer.Exit(1)


@rules.command("list")
def list_rules(config: Config = DEFAULT, as_json: AsJson = False) -> None:
    """The rules in force: id, severity, what they watch, version."""
    from rich.console import Console
    from rich.table import Table

    from cli.rules_check import rules_in_force

    with errors():
        found = rules_in_force(_settings(config, needed=config != DEFAULT))
    if as_json:
        _print_json({rule.id: {**rule.model_dump(by_alias=True), "version": rule.version} for rule in found.values()})
        return
    table = Table("rule", "severity", "watches", "title", "version")
    for rule in found.values():
        watched = ", ".join(rule.applies_to) or f"every {rule.per}"
        table.add_row(rule.id, rule.severity, watched, f"{rule.title.zh} {rule.title.en}", rule.version)
    Console().print(table)


@rules.command("explain")
def explain(
    alarm: Annotated[int | None, typer.Argument(help="Number of the alarm.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="site/device/point or site/device: why there is no alarm for it.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="With --subject: ISO 8601; the latest reading by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="The gateway's data folder; else the configuration says.")] = None,
    lang: Annotated[str, typer.Option(help="zh or en.")] = "zh",
    as_json: AsJson = False,
    config: Config = DEFAULT,
) -> None:
    """Say why an alarm is what it is: the rule then in force, what it decided on, every step, who was told."""
    from cli.rules_explain import explain_alarm, print_explanation

    with errors():
        if (alarm is None) == (subject is None):
            raise ConfigError("explain: want the number of an alarm, or --subject. Give one of them.")
        if lang not in ("zh", "en"):
            raise ConfigError(f"--lang: got {lang!r}, want zh or en.")
        if alarm is not None:
            found = explain_alarm(data or _data_dir(config), alarm)
            _print_json(found.to_data()) if as_json else print_explanation(found, lang)
            return
        from cli.rules_thought import explain_silence, print_thoughts

        assert subject is not None
        thoughts = asyncio.run(explain_silence(_needed(config), subject, at))
        _print_json(thoughts.to_data()) if as_json else print_thoughts(thoughts, lang)


@lab.command("diff")
def lab_diff(
    old: Annotated[str, typer.Argument(help="A folder of packs, a configuration file, or `current`.")],
    new: Annotated[str, typer.Argument(help="A folder of packs, a configuration file, or `current`.")],
    history: Annotated[str, typer.Option(help="How far back: 90d, 12h, 30m.")] = "90d",
    until: Annotated[str | None, typer.Option(help="ISO 8601; the latest stored reading by default.")] = None,
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Replay every rule, not only those that may decide otherwise.")
    ] = False,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(help="Write a report that stands alone.")] = None,
    config: Config = DEFAULT,
) -> None:
    """Replay the stored history through two sets of rules: alarms gained, lost and changed, pages a shift, chatter."""
    from cli.rules_lab import compare_on_history, print_diff
    from rules.lab import to_data

    with errors():
        found = asyncio.run(compare_on_history(_needed(config), (old, new), history, until, site, every))
        if html is not None:
            from cli.rules_report import write_report

            write_report(html, found)
    if as_json:
        _print_json({**to_data(found.diff), **found.about()})
    else:
        print_diff(found)
        if html is not None:
            print(f"{html}: written.")


@golden.command("add")
def golden_add(
    alarm: Annotated[int, typer.Argument(help="Number of the alarm.")],
    title: Annotated[str, typer.Option(help="What happened, in words.")],
    name: Annotated[str, typer.Option(help="Name of the file; made of rule and number by default.")] = "",
    never: Annotated[bool, typer.Option("--never", help="It was false and must not come again.")] = False,
    to: Annotated[Path | None, typer.Option(help="Folder of rules; the only one of gateway.rule_folders.")] = None,
    config: Config = DEFAULT,
) -> None:
    """Keep the readings around an alarm: rules that would not raise it any more are refused from then on."""
    from cli.rules_apply import target_of
    from cli.rules_golden import add_incident

    with errors():
        settings = _needed(config)
        path = asyncio.run(add_incident(settings, alarm, title, target_of(settings, to), name, never))
    print(f"{path}: kept.")


@golden.command("check")
def golden_check(
    folder: Annotated[str, typer.Argument(help="A folder of packs, a configuration file, or `current`.")] = "current",
    to: Annotated[Path | None, typer.Option(help="Folder of rules; the only one of gateway.rule_folders.")] = None,
    config: Config = DEFAULT,
) -> None:
    """Run every golden incident through these rules; status 1 when one would go unseen."""
    from cli.rules_apply import target_of
    from cli.rules_golden import judge_all
    from cli.rules_history import load_plant, rules_of

    with errors():
        settings = _needed(config)
        assert settings.gateway is not None
        target = target_of(settings, to)
        verdicts = judge_all(target, rules_of(folder, settings.gateway, target), load_plant(settings))
    for verdict in verdicts:
        print(f"{'FAIL' if verdict.problems else 'seen'} {verdict.path.name}: {verdict.incident.title.zh}")
        for problem in verdict.problems:
            print(f"     {problem}")
    if any(verdict.problems for verdict in verdicts):
        raise typer.Exit(1)


@rules.command("apply")
def apply_rules(
    new: Annotated[Path, typer.Argument(help="Folder of packs that are to be in force.")],
    to: Annotated[Path | None, typer.Option(help="Folder of rules; the only one of gateway.rule_folders.")] = None,
    config: Config = DEFAULT,
) -> None:
    """Put rules in force: checked, cases run, every golden incident still seen; else nothing changes."""
    from cli.rules_apply import apply

    with errors():
        done = asyncio.run(apply(_needed(config), new, to))
    print(f"{done.folder}: in force, {done.incidents} golden incidents still seen. Before: {done.former}")
    print("The gateway has taken them." if done.told is not None else "No gateway runs; they count from its start on.")


def _print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=1))


def _settings(config: Path, *, needed: bool) -> Settings | None:
    """The settings; None where there is no such file and none was asked for. Raises ConfigError."""
    from cli.settings import load_settings

    if not config.exists() and not needed:
        return None
    settings = load_settings(config)
    if settings.gateway is None:
        raise ConfigError(f"{config}:1: gateway: got nothing, want a section. Use the gateway's configuration file.")
    return settings


def _data_dir(config: Path) -> Path:
    gateway = _needed(config).gateway
    assert gateway is not None
    return gateway.data_dir


def _needed(config: Path) -> Settings:
    settings = _settings(config, needed=True)
    assert settings is not None
    return settings
