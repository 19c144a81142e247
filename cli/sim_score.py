"""What the rules made of stories, against the truth the stories carry.

recall       of what ought to have spoken, the share that did, in the time the story gives it
false        raised, called somebody, and no event asks for it or allows it; counted by device and month too
delay        from the event to the duty desk
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from cli.sim_desk import Raised
from cli.sim_run import SETTLE_MS, Outcome
from rules.model import Rule
from simulators.story import Event
from simulators.story_acts import Bound, Speaks

MONTH_S = 30.44 * 86_400
EARLY_MS = 2000
"""An alarm may be this much before its event in the story: both are rounded."""
CONTACT_SLACK_S = 1.0
"""What a contact may take beyond its poll period."""
REAL_SLACK_S = 3.0
"""What real parts take (polls that are not as much faster as the story, transport, a busy machine), where a second is
more than one of the story."""
Kind = Literal["contact", "water", "other"]


class Verdict(NamedTuple):
    """One thing that ought to have been said. delay_s: None: it was not. limit_s: for contacts, the poll period and a
    second."""

    story: str
    network: str
    seed: int
    event: str
    rule: str
    kind: Kind
    delay_s: float | None
    limit_s: float | None


class FalseAlarm(NamedTuple):
    """One thing that ought not to have been said."""

    story: str
    network: str
    seed: int
    rule: str
    subject: str
    at_s: float
    why: str


class Judged(NamedTuple):
    """A run, judged."""

    verdicts: list[Verdict]
    false: list[FalseAlarm]
    device_months: float
    is_quiet: bool


def judge(name: str, outcome: Outcome, rules: Mapping[str, Rule]) -> Judged:
    """Compare what the desk saw with what was true."""
    early = round(EARLY_MS * outcome.speed)
    slack_s = REAL_SLACK_S * (outcome.speed - 1.0)
    verdicts: list[Verdict] = []
    allowed: set[int] = set()
    for label in outcome.labels:
        from_ms = outcome.start_ms + round(label.from_s * 1000)
        early_ms = early if label.from_s > 0 else SETTLE_MS
        event = label.event
        limit_s = _poll_s(event, outcome.polls) + CONTACT_SLACK_S * outcome.speed
        for speaks in wanted(event, outcome.story.must_speak_after_s):
            until_ms = from_ms + round((speaks.within_s + slack_s) * 1000)
            if until_ms > outcome.start_ms + outcome.length_s * 1000:
                continue
            found = None
            for number, raised in enumerate(outcome.raised):
                if from_ms - early_ms <= raised.shown_ms <= until_ms and speaks.fits(raised.rule, raised.subject):
                    too_early = raised.shown_ms < from_ms + speaks.after_s * 1000 - early_ms
                    if raised.held is None and not too_early:
                        found = found or raised
                        allowed.add(number)
            kind = _kind(event, speaks, rules)
            verdicts.append(
                Verdict(
                    name, outcome.network, outcome.seed, event.name, found.rule if found else speaks.rule[0], kind,
                    None if found is None else max(0.0, (found.shown_ms - from_ms) / 1000),
                    limit_s if kind == "contact" else None,
                )
            )  # fmt: skip
    false = [
        FalseAlarm(name, outcome.network, outcome.seed, r.rule, r.subject, (r.shown_ms - outcome.start_ms) / 1000, why)
        for number, r in enumerate(outcome.raised)
        if r.shown_ms >= outcome.start_ms and (why := _why_false(r, number in allowed, outcome)) is not None
    ]
    months = outcome.devices * outcome.length_s / MONTH_S
    return Judged(verdicts, false, months, outcome.story.kind == "quiet")


def wanted(event: Event, after_s: Any) -> Iterator[Speaks]:
    """What ought to speak about an event, whichever way the story says it."""
    yield from event.speaks
    for subject, rules in event.alarms.items():
        for rule in rules:
            yield Speaks.model_validate({"rule": rule, "of": subject, "within": after_s(rule) + 30})


def _why_false(raised: Raised, is_wanted: bool, outcome: Outcome) -> str | None:
    """None: it is right, or calls nobody."""
    if raised.held is not None:
        return None
    at_s = (raised.shown_ms - outcome.start_ms) / 1000
    near = [
        label.event
        for label in outcome.labels
        if label.from_s - 2 * outcome.speed <= at_s <= label.to_s + label.event.settles_s
    ]
    silent = next((e for e in near if _fits(e.silent, raised)), None)
    if silent is not None:
        return f"{silent.name} must not be told by it"
    if is_wanted or any(_fits(e.may, raised) for e in near):
        return None
    again = any(s.fits(raised.rule, raised.subject) for e in near for s in wanted(e, outcome.story.must_speak_after_s))
    return None if again else "nothing called for it"


def _fits(bounds: Iterable[Bound], raised: Raised) -> bool:
    return any(bound.fits(raised.rule, raised.subject) for bound in bounds)


def _poll_s(event: Event, polls: Mapping[str, float]) -> float:
    return max((polls.get(name.partition("/")[0], 0.0) for name in event.sets), default=0.0)


def _kind(event: Event, speaks: Speaks, rules: Mapping[str, Rule]) -> Kind:
    """contact: a state of a device, and a rule that speaks at once."""
    found = [rules[name] for name in speaks.rule if name in rules]
    at_once = found and all(
        rule.for_s == 0 and rule.when.kind in ("state", "any", "all", "tally") and rule.per != "group" for rule in found
    )
    if event.water is not None:
        return "water"
    is_state = bool(event.sets) or event.panel is not None
    return (
        "contact" if at_once and is_state and speaks.after_s == 0 and not event.link and not event.gateway else "other"
    )


# --- together -----------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """Figures of one rule, or of a kind. Percentiles are of what was raised; None when nothing was."""

    name: str
    expected: int
    raised: int
    false: int
    p50_s: float | None
    p95_s: float | None

    @property
    def recall(self) -> float | None:
        """Share raised; None when nothing was expected."""
        return self.raised / self.expected if self.expected else None


class Score(NamedTuple):
    """Everything together."""

    runs: int
    rules: list[Line]
    kinds: list[Line]
    quiet_device_months: float
    quiet_false: int
    device_months: float
    late: list[Verdict]
    """Contacts that took longer than a poll period and a second."""
    missed: list[Verdict]
    false: list[FalseAlarm]

    @property
    def false_a_month(self) -> float:
        """False alarms a device and month of quiet weeks."""
        return self.quiet_false / self.quiet_device_months if self.quiet_device_months else 0.0


def add_up(judged: Iterable[Judged]) -> Score:
    """The figures of many runs."""
    runs = list(judged)
    verdicts = [verdict for run in runs for verdict in run.verdicts]
    false = [each for run in runs for each in run.false]
    names = sorted({v.rule for v in verdicts} | {f.rule for f in false})
    quiet = [run for run in runs if run.is_quiet]
    return Score(
        len(runs),
        [_line(name, [v for v in verdicts if v.rule == name], sum(f.rule == name for f in false)) for name in names],
        [_line(kind, [v for v in verdicts if v.kind == kind], 0) for kind in ("contact", "water", "other")],
        sum(run.device_months for run in quiet),
        sum(len(run.false) for run in quiet),
        sum(run.device_months for run in runs),
        [v for v in verdicts if v.delay_s is not None and v.limit_s is not None and v.delay_s > v.limit_s],
        [v for v in verdicts if v.delay_s is None],
        false,
    )


def to_data(score: Score) -> dict[str, Any]:
    """As JSON wants it."""
    return {
        "runs": score.runs,
        "overall": {
            "expected": sum(line.expected for line in score.kinds),
            "raised": sum(line.raised for line in score.kinds),
            "recall": {line.name: line.recall for line in score.kinds},
            "contacts_late": len(score.late),
            "quiet_device_months": round(score.quiet_device_months, 2),
            "quiet_false": score.quiet_false,
            "false_per_device_month": round(score.false_a_month, 4),
            "false_in_stories": len(score.false) - score.quiet_false,
        },
        "kinds": [_data(line, score.device_months) for line in score.kinds],
        "rules": [_data(line, score.device_months) for line in score.rules],
        "missed": [verdict._asdict() for verdict in score.missed],
        "late": [verdict._asdict() for verdict in score.late],
        "false": [each._asdict() for each in score.false],
    }


def _data(line: Line, device_months: float) -> dict[str, Any]:
    recall = line.recall
    return {
        **line._asdict(),
        "recall": None if recall is None else round(recall, 4),
        "false_per_device_month": round(line.false / device_months, 4) if device_months else 0.0,
    }


def _line(name: str, verdicts: list[Verdict], false: int) -> Line:
    delays = sorted(v.delay_s for v in verdicts if v.delay_s is not None)
    return Line(name, len(verdicts), len(delays), false, _percentile(delays, 0.5), _percentile(delays, 0.95))


def _percentile(values: list[float], share: float) -> float | None:
    return round(values[min(len(values) - 1, int(share * len(values)))], 2) if values else None
