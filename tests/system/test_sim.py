"""Stories run fast through the agent's and the gateway's decision cores: what is said, when, and always alike."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from cli.sim_city import Options, run_city
from cli.sim_keep import Kept
from cli.sim_many import parse_seeds, run_job, score_all
from cli.sim_report import write_report
from cli.sim_run import Outcome, run_fast, shipped_rules
from cli.sim_score import Judged, Score, add_up, judge, to_data
from contract.errors import ConfigError
from simulators.hydraulics.mapping import load_mapping
from simulators.story import find_story, load_story
from tests.system.test_start import weizhan

pytestmark = pytest.mark.timeout(600)
REDUCED = (
    ("panel-fire", "district", 1),
    ("panel-fire", "valley", 2),
    ("panel-fire-confirmed", "valley", 1),
    ("panel-faults", "district", 2),
    ("other-panel", "valley", 3),
    ("main-bursts", "district", 1),
    ("water-is-stolen", "valley", 1),
    ("fire-fighting", "district", 1),
    ("riser-bursts", "valley", 1),
    ("hydrant-is-hit", "district", 3),
    ("lines-and-devices", "valley", 1),
    ("fire-while-the-link-is-cut", "valley", 1),
    ("fire-with-a-good-crew", "valley", 1),
    ("fire-with-the-crew-away", "district", 1),
    ("drill", "district", 1),
    ("burst-during-a-fire", "district", 1),
    ("main-bursts-at-night", "valley", 2),
    ("valve-left-closed", "district", 2),
    ("riser-leaks-at-night", "valley", 2),
    ("hydrant-leaks-at-night", "district", 1),
    ("jockey-hunts", "valley", 1),
    ("pumps", "district", 1),
    ("extinguishers", "valley", 2),
    ("sensors-fail", "district", 1),
    ("a-bad-night", "valley", 1),
    ("agent-and-link", "valley", 1),
    ("gateway-in-need", "district", 1),
    ("quiet-day-fine", "valley", 1),
)
"""What every run of the tests plays, about 45 s of one core; the whole score is docs/detection.md."""


def run(name: str, network: str, seed: int) -> Outcome:
    return run_fast(load_story(name, seed), load_mapping(network), network, seed)


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    """The reduced set, played once."""
    return [run_job(job) for job in REDUCED]


def test_every_fire_and_panel_event_is_told_within_its_poll_and_a_second(judged: list[Judged]) -> None:
    """Recall of contacts is whole, and none is late."""
    score = add_up(judged)
    contacts = next(line for line in score.kinds if line.name == "contact")
    assert contacts.expected >= 12
    assert contacts.recall == 1.0, score.missed
    assert score.late == []


def test_every_fault_of_the_water_is_told_and_nothing_else_is(judged: list[Judged]) -> None:
    """Bursts, stolen water, a riser; no false alarm in any story."""
    score = add_up(judged)
    water = next(line for line in score.kinds if line.name == "water")
    assert water.expected >= 4
    assert water.recall == 1.0, score.missed
    assert score.missed == []
    assert score.false == []


def test_nothing_is_said_on_a_quiet_day(judged: list[Judged]) -> None:
    """A day of normal life of a town is played, and nobody is called."""
    score = add_up(judged)
    assert score.quiet_device_months > 0.5
    assert score.quiet_false == 0, score.false


def test_two_runs_of_one_seed_are_equal_and_another_seed_differs() -> None:
    """To the millisecond."""
    one, same, other = (run("water-is-stolen", "valley", seed) for seed in (7, 7, 8))
    assert one.raised == same.raised
    assert one.readings == same.readings
    assert one.raised != other.raised


def test_a_rule_that_is_gone_is_missed_and_a_rule_that_cries_is_false() -> None:
    """The judge sees both."""
    rules = shipped_rules()
    story, where = load_story("panel-fire", 1), load_mapping("valley")
    gone = {name: rule for name, rule in rules.items() if name != "panel-fire"}
    found = judge("panel-fire", run_fast(story, where, "valley", 1, rules=gone), gone)
    assert [verdict.delay_s for verdict in found.verdicts] == [None]
    low = rules["hydrant-pressure-low"].when.model_copy(update={"below": 500.0, "clear": 510.0})
    crying = {**rules, "hydrant-pressure-low": rules["hydrant-pressure-low"].model_copy(update={"when": low})}
    outcome = run_fast(story, where, "valley", 1, rules=crying)
    at_start = [raised for raised in outcome.raised if raised.rule == "hydrant-pressure-low"]
    assert at_start


def test_what_was_kept_while_the_link_was_cut_arrives_when_it_is_back() -> None:
    """A fire in that time is raised at its own time and shown as soon as the way is open."""
    outcome = run("fire-while-the-link-is-cut", "district", 2)
    fire = next(raised for raised in outcome.raised if raised.rule == "panel-fire")
    back_ms = outcome.start_ms + 30 * 60_000
    assert fire.event_ms < outcome.start_ms + 25 * 60_000 + 5000
    assert back_ms <= fire.shown_ms <= outcome.start_ms + 66 * 60_000


def test_the_figures_stand_in_the_page_between_their_marks(tmp_path: Path, judged: list[Judged]) -> None:
    """What people wrote around them stays."""
    page = tmp_path / "detection.md"
    page.write_text("# Mine\n\n<!-- figures: begin -->\nEarlier figures.\n<!-- figures: end -->\n\nAfter.\n", "utf-8")
    write_report(page, add_up(judged), [1, 2])
    text = page.read_text("utf-8")
    assert text.startswith("# Mine\n")
    assert text.endswith("\n\nAfter.\n")
    assert "Earlier figures" not in text
    assert "| `panel-fire` |" in text
    assert json.dumps(to_data(add_up(judged)))


def test_a_score_goes_on_where_it_was_interrupted_when_runs_are_kept(
    tmp_path: Path,
) -> None:
    """What is kept is not run again and adds up to the same; a damaged file and another story are run."""
    story = tmp_path / "mine.yaml"
    story.write_text(find_story("panel-fire").read_text("utf-8"), "utf-8")
    kept, quiet = Kept(tmp_path / "kept"), Console(file=io.StringIO())

    def score() -> Score:
        return score_all([str(story)], [11], ["valley", "district"], 1, quiet, kept)

    first = score()
    files = sorted((tmp_path / "kept").iterdir())
    assert [file.name.rsplit("-", 1)[0] for file in files] == ["mine-district-11", "mine-valley-11"]
    marks = [file.stat().st_mtime_ns for file in files]
    assert score() == first
    assert [file.stat().st_mtime_ns for file in files] == marks
    files[0].write_text("{", "utf-8")
    assert score() == first
    assert files[0].stat().st_mtime_ns != marks[0]
    assert files[1].stat().st_mtime_ns == marks[1]
    story.write_text(story.read_text("utf-8") + "# another text\n", "utf-8")
    assert score() == first
    assert len(list((tmp_path / "kept").iterdir())) == 4


def test_seeds_are_read_as_people_write_them() -> None:
    """A range, a list, or both."""
    assert parse_seeds("1-3,7") == [1, 2, 3, 7]
    with pytest.raises(ConfigError, match="want numbers such as 1-5"):
        parse_seeds("one")


def test_the_command_runs_a_story_and_writes_what_happened(tmp_path: Path) -> None:
    """Its own answer says what was expected and what was raised."""
    out = tmp_path / "run.json"
    done = weizhan("sim", "run", "panel-fire", "--seed", "2", "--network", "valley", "--out", str(out), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "panel-fire: 1 expected, 1 raised, 0 false, 0 late" in done.stdout
    data = json.loads(out.read_text("utf-8"))
    assert [verdict["rule"] for verdict in data["verdicts"]] == ["panel-fire"]
    refused = weizhan("sim", "run", "no-such-story", folder=tmp_path)
    assert refused.returncode != 0
    assert "story: got 'no-such-story', want one of" in refused.stderr


async def test_a_small_city_is_sustained_and_what_is_stored_is_what_was_sent() -> None:
    """Through a real Mosquitto into a real gateway: readings by digest, fires one by one."""
    if shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin") is None:
        if os.environ.get("CI"):
            pytest.fail("mosquitto is missing. Install the package mosquitto.")
        pytest.skip("mosquitto is missing. Install the package mosquitto.")
    said: list[str] = []
    found = await run_city(Options(20, seconds=6, period_s=2, seed=1, fires_an_hour=200), said.append)
    assert found["equal"], found
    assert found["sustained"], found
    assert found["readings_sent"] == found["readings_stored"] > 20 * 2 * 8
    assert found["fires_sent"] > 0
    assert said
