"""`weizhan sim`: stories with ground truth, run fast or for real; their score; a city for load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cli.failures import errors

if TYPE_CHECKING:
    from cli.sim_run import Outcome
    from cli.sim_score import Judged

app = typer.Typer(
    no_args_is_help=True, help="Stories of a simulated town: run them, score the rules, load the gateway."
)
_err = Console(stderr=True, highlight=False)
Networks = Annotated[
    list[str] | None, typer.Option("--network", help="district, valley, or a mapping file; repeat it.")
]


@app.command("list")
def list_stories() -> None:
    """Every story that comes with the product: name, length, what it is about."""
    from simulators.story import load_story, shipped

    with errors():
        for name in shipped():
            story = load_story(name)
            days = story.length_s / 86_400
            length = f"{days:.3g} d" if days >= 1 else f"{story.length_s / 3600:.2g} h"
            print(f"{name:<32} {story.station:<8} {story.kind:<7} {length:>7}  {story.title.zh} · {story.title.en}")


@app.command("run")
def run_story(
    story: Annotated[str, typer.Argument(help="Name of a story, or its YAML file.")],
    seed: Annotated[int | None, typer.Option(help="Of every random choice; the story's own when absent.")] = None,
    given: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE of a parameter; repeat it.")] = None,
    network: Annotated[str, typer.Option(help="district, valley, or a mapping file of your own network.")] = "district",
    speed: Annotated[
        str, typer.Option(help="fast: in virtual time. real: on real parts with pages to watch; or 2 to 20 times that.")
    ] = "fast",
    port: Annotated[int, typer.Option(help="Port of the pages; the next free one when it is taken.")] = 8080,
    folder: Annotated[
        Path | None, typer.Option("--data", help="Folder for files of a run on real parts; a temporary one by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write what happened, as JSON.")] = None,
) -> None:
    """Run one story and say what ought to have spoken, what did, and when."""
    with errors():
        pace = _pace(speed)
        if pace is None:
            data = _run_fast(story, seed, given, network)
        else:
            data = _run_real(story, seed, given, network, pace, port, folder)
    if out is not None:
        out.write_text(json.dumps(data, ensure_ascii=False, indent=2) + "\n", "utf-8")
    if data["missed"] or data["false"] or data["late"]:
        raise typer.Exit(1)


@app.command("score")
def score_stories(
    names: Annotated[list[str] | None, typer.Argument(help="Stories; all of the town when absent.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, as in 1-5 or 1,3.")] = "1-5",
    network: Networks = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the table as Markdown (docs/detection.md).")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Runs at a time.")] = 2,
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep each judged run in this folder and do not run it again; go on after a break."),
    ] = None,
) -> None:
    """Run stories with several seeds on several networks and add up recall, false alarms and delays of every rule."""
    from cli.sim_keep import Kept
    from cli.sim_many import parse_seeds, score_all
    from cli.sim_report import print_score, write_report
    from cli.sim_score import to_data

    with errors():
        score = score_all(names, parse_seeds(seeds), network, jobs, _err, None if keep is None else Kept(keep))
        if report is not None:
            write_report(report, score, parse_seeds(seeds))
    if as_json:
        print(json.dumps(to_data(score), ensure_ascii=False, indent=2))
    else:
        print_score(score)


@app.command("city")
def load_city(
    stations: Annotated[int, typer.Option(min=1, max=20_000, help="How many.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 60.0,
    period_s: Annotated[
        float, typer.Option("--period", min=0.5, help="Each sends a batch and a heartbeat in so long, s.")
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Of phases, values and fires.")] = 1,
    fires: Annotated[float, typer.Option(min=0, help="Fires of each station in an hour.")] = 1.0,
) -> None:
    """Load a real gateway through a real broker with the messages of many stations; compare what was stored."""
    import asyncio

    from cli.sim_city import Options, run_city, tell_stderr

    with errors():
        found = asyncio.run(run_city(Options(stations, seconds, period_s, seed, fires), tell_stderr))
    print(json.dumps(found, indent=2))
    if not (found["equal"] and found["sustained"]):
        raise typer.Exit(1)


def _run_fast(name: str, seed: int | None, given: list[str] | None, network: str) -> dict[str, Any]:
    from cli.sim_run import run_fast, shipped_rules
    from cli.sim_score import judge
    from simulators.hydraulics.mapping import load_mapping

    story, where = _load(name, seed, given), load_mapping(network)
    used = story.seed if seed is None else seed
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=_err) as bar:
        task = bar.add_task(name, total=1.0)
        outcome = run_fast(
            story, where, network, used, progress=lambda share: bar.update(task, completed=share)
        )  # fmt: skip
    return _tell(name, outcome, judge(name, outcome, shipped_rules()))


def _run_real(
    name: str, seed: int | None, given: list[str] | None, network: str, pace: float, port: int, folder: Path | None
) -> dict[str, Any]:
    import asyncio

    from cli.sim_real import RealRun, run_real
    from cli.sim_run import shipped_rules
    from cli.sim_score import judge
    from simulators.hydraulics.mapping import load_mapping

    story = _load(name, seed, given)
    used = story.seed if seed is None else seed
    run = RealRun(name, story, load_mapping(network), network, used, pace, tuple(given or ()), port, folder)
    outcome = asyncio.run(run_real(run))
    if outcome is None:
        _err.print(f"{name}: stopped before its end, not judged.")
        raise typer.Exit(130)
    return _tell(name, outcome, judge(name, outcome, shipped_rules()))


def _pace(text: str) -> float | None:
    """Story seconds a second; None: as fast as it goes."""
    if text in ("fast", "real"):
        return None if text == "fast" else 1.0
    from cli.sim_real import FASTEST
    from contract.errors import ConfigError

    try:
        pace = float(text)
    except ValueError:
        pace = 0.0
    if not 1.0 <= pace <= FASTEST:
        raise ConfigError(f"--speed {text}: got {text!r}, want fast, real, or a factor of 1 to {FASTEST:g}.")
    return pace


def _load(name: str, seed: int | None, given: list[str] | None) -> Any:
    from contract.errors import ConfigError
    from simulators.story import load_story
    from simulators.story_values import parse_given

    story = load_story(name, seed, parse_given(given or []))
    if story.station != "town":
        raise ConfigError(f"story {name}: plays at the demo's station. Run it with `weizhan demo --story {name}`.")
    return story


def _tell(name: str, outcome: Outcome, judged: Judged) -> dict[str, Any]:
    """Print what was true and what was said, in order of time; gives it as data."""
    rows = [
        *(
            (round(label.from_s, 1), "event", f"{label.event.name} (until {label.to_s:.0f} s)")
            for label in outcome.labels
        ),
        *(
            (round((r.shown_ms - outcome.start_ms) / 1000, 1), "alarm",
             f"{r.rule} {r.subject}{f' ({r.held})' if r.held else ''}")
            for r in outcome.raised
        ),
    ]  # fmt: skip
    for at_s, what, text in sorted(rows):
        print(f"{at_s:>10.1f} s  {what}  {text}")
    for verdict in judged.verdicts:
        said = "MISSED" if verdict.delay_s is None else f"after {verdict.delay_s:.1f} s"
        print(f"expected  {verdict.event}: {verdict.rule}: {said}")
    late = [v for v in judged.verdicts if v.delay_s is not None and v.limit_s is not None and v.delay_s > v.limit_s]
    for false in judged.false:
        print(f"FALSE     {false.rule} {false.subject} at {false.at_s:.1f} s: {false.why}")
    for text in outcome.refused:
        print(f"refused   {text}")
    print(f"{name}: {len(judged.verdicts)} expected, {sum(v.delay_s is not None for v in judged.verdicts)} raised, "
          f"{len(judged.false)} false, {len(late)} late; {outcome.readings} readings, seed {outcome.seed}")  # fmt: skip
    return {
        "story": name,
        "network": outcome.network,
        "seed": outcome.seed,
        "length_s": outcome.length_s,
        "events": [{"name": label.event.name, "from_s": label.from_s, "to_s": label.to_s} for label in outcome.labels],
        "raised": [raised._asdict() for raised in outcome.raised],
        "verdicts": [verdict._asdict() for verdict in judged.verdicts],
        "missed": [verdict._asdict() for verdict in judged.verdicts if verdict.delay_s is None],
        "late": [verdict._asdict() for verdict in late],
        "false": [false._asdict() for false in judged.false],
        "refused": outcome.refused,
    }
