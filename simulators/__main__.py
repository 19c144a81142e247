"""`python -m simulators --out DIR [--story NAME] [--speed X] [--seed N] [--broker-port P] ...`; `--help` names all."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from contract.errors import WeizhanError
from simulators.process import Settings, read_commands, run, tell_stdout
from simulators.story import load_story
from simulators.story_values import parse_given


def main() -> int:
    """Run the process; 2 and a text on stderr when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m simulators", description="A simulated micro fire station.")
    parser.add_argument("--out", type=Path, required=True, help="folder for site.yaml, truth.jsonl and the terminals")
    parser.add_argument("--story", default="micro-station", help="name of a story, or its YAML file")
    parser.add_argument("--speed", type=float, default=1.0, help="story seconds a second")
    parser.add_argument("--rule-speed", type=float, default=1.0, help="the rules wait so many times shorter")
    parser.add_argument("--seed", type=int, default=None, help="of every random choice; the story's own when absent")
    parser.add_argument("--broker-port", type=int, default=None, help="put a link that can be cut before this broker")
    parser.add_argument("--network", default="district", help="the town's water: district, valley or a mapping file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of a parameter; repeat it")
    parser.add_argument("--loop", action="store_true", help="repeat the story for ever")
    args = parser.parse_args()
    for name in ("speed", "rule_speed"):
        if not 0.01 <= getattr(args, name) <= 1000:
            parser.error(f"--{name.replace('_', '-')}: got {getattr(args, name):g}, want 0.01..1000.")
    try:
        story = load_story(args.story, args.seed, parse_given(args.set)).for_rules(args.rule_speed)
        seed = story.seed if args.seed is None else args.seed
        settings = Settings(args.out, story, seed, args.speed, args.broker_port, args.loop, args.network)
        asyncio.run(_run(settings))
    except WeizhanError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    return 0


async def _run(settings: Settings) -> None:
    commands: asyncio.Queue[str] = asyncio.Queue(16)
    read_commands(asyncio.get_running_loop(), commands)
    with contextlib.suppress(BrokenPipeError):  # the parent is gone: stop as if told to
        await run(settings, commands, tell_stdout)


if __name__ == "__main__":
    sys.exit(main())
