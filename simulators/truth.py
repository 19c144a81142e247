"""The truth file of a simulated run, and the judges that compare it with what a product stored and said.

`truth.jsonl` holds one JSON object a line, appended and flushed when its time is over; times are ms UTC on the
clock of the machine. What was open when the simulators stopped is written then; a simulator that was killed leaves
it out, and a last line cut in the middle is passed over.

    {"kind":"segment","point":"hydrant-01/pressure_kpa","value":262.0,"quality":"good","from_ms":1,"to_ms":9,
     "served":3,"first_served_ms":2,"last_served_ms":8,"printed":false}
        A point had this value from..to. `value` is what a correct decoder must give (after the register's rounding);
        null unless the quality is good. `served`: answers that carried it. `printed`: it came from a printer panel,
        where nothing is served and all is printed once; `panel/printout` is the text itself, at one instant.
    {"kind":"alarm","rule":"panel-fire","subject":"shuiye-demo/panel-01/p009","from_ms":1,"to_ms":9,"contact":true,
     "after_ms":0,"poll_ms":250,"seen_to_ms":9}
        The condition of this rule held from..to (null: still when the simulators stopped, at seen_to). Subject:
        site/device/point, site/device, site/zone or site/agent. `after_ms`: how long it must hold before the rule must
        speak.
        `contact`: a contact polled every `poll_ms` with no delay in its rule, so from_ms to the screen is the
        product's latency.
    {"kind":"step","name":"panel-fire","at_ms":1,"zh":"...","en":"..."}
    {"kind":"violation","at_ms":1,"device":"pump-01","function":6,"hex":"0600000001"}
        Somebody tried to write to equipment.
    {"kind":"end","at_ms":9}
        The simulators stopped, and with them the equipment and the link: what is said from then on is not judged.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import msgspec

from contract.messages import Value
from contract.profile import BUILT_IN, LINE_POINTS
from contract.quality import GOOD
from contract.site import SYSTEM_SITE, agent_device

AGENTS_OWN = frozenset(BUILT_IN) | {point.name for point in LINE_POINTS}
"""Points that no simulated device has: the agent makes them."""
EARLY_MS = 50
"""A reading may carry a time this much before the change: two processes read one clock."""
LATE_MS = 1500
"""A reading may carry a time this much after the change: it was on the line while the value changed."""
ALARM_EARLY_MS = 250
ALARM_LATE_MS = 2500
_OPEN_SLACK_MS = 3000
_READ_SLACK_MS = 500
_EXAMPLES = 20


class Segment(msgspec.Struct, tag_field="kind", tag="segment", frozen=True):
    """A point had a value for a time."""

    point: str
    value: float | bool | str | None
    quality: str
    from_ms: int
    to_ms: int
    served: int = 0
    first_served_ms: int | None = None
    last_served_ms: int | None = None
    printed: bool = False

    @property
    def sure(self) -> bool:
        """Whether a product had the chance to see it: read twice, or printed."""
        return self.printed or self.served >= 2


class Alarm(msgspec.Struct, tag_field="kind", tag="alarm", frozen=True):
    """The condition of a rule held for a time."""

    rule: str
    subject: str
    from_ms: int
    to_ms: int | None
    contact: bool = False
    after_ms: int = 0
    seen_to_ms: int = 0
    poll_ms: int = 0

    @property
    def due(self) -> bool:
        """Whether the rule must have spoken; not so when the run ended before its delay was over."""
        return self.to_ms is not None or self.seen_to_ms - self.from_ms >= self.after_ms + _OPEN_SLACK_MS


class Step(msgspec.Struct, tag_field="kind", tag="step", frozen=True):
    """The story reached a step."""

    name: str
    at_ms: int
    zh: str
    en: str


class Violation(msgspec.Struct, tag_field="kind", tag="violation", frozen=True):
    """Somebody tried to write to equipment. function 0: bytes sent to a printer port."""

    at_ms: int
    device: str
    function: int
    hex: str


class End(msgspec.Struct, tag_field="kind", tag="end", frozen=True):
    """The simulators stopped."""

    at_ms: int


@dataclass
class Truth:
    """Everything a truth file says, in order of time."""

    segments: list[Segment] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    end_ms: int | None = None
    """When the simulators stopped; None: not yet, or they were killed."""


class ReadingCounts(TypedDict):
    """produced: values a product must have (see `judge_readings`); unseen: values nobody read twice; stored and lost:
    produced values found and not found; duplicated and wrong: stored readings too many and untrue."""

    produced: int
    unseen: int
    stored: int
    lost: int
    duplicated: int
    wrong: int
    details: list[str]


class AlarmCounts(TypedDict):
    """expected: rules that had to speak; raised, missed: those that did, did not; false: raises beyond that;
    unseen: conditions whose point was not read early enough, so nobody could know (not in expected)."""

    expected: int
    raised: int
    missed: int
    false: int
    unseen: int
    details: list[str]


def read_truth(path: Path) -> Truth:
    """Read a truth file.

    Raises:
        OSError: it cannot be read.
        ValueError: a line other than the last is no record.
    """
    decode = msgspec.json.Decoder(Segment | Alarm | Step | Violation | End).decode
    truth = Truth()
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            record = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            if number == len(lines):
                break  # cut by a kill
            raise ValueError(f"{path}:{number}: {exc}. The file is damaged.") from exc
        match record:
            case Segment():
                truth.segments.append(record)
            case Alarm():
                truth.alarms.append(record)
            case Step():
                truth.steps.append(record)
            case Violation():
                truth.violations.append(record)
            case End():
                truth.end_ms = record.at_ms
    truth.segments.sort(key=lambda segment: segment.from_ms)
    truth.alarms.sort(key=lambda alarm: alarm.from_ms)
    return truth


def judge_readings(truth: Truth, stored: Iterable[tuple[str, int, Value]]) -> ReadingCounts:
    """Compare what was stored with what was.

    Args:
        stored: (`device/point`, observed_ms, value) of every stored reading; value None for one that is not good.

    A value is produced when it was good and read twice, or printed. It is lost when no reading of it is stored with a
    time from..to (and the tolerances above). When a point left a value and came back to it and what lay between was
    never stored nor read twice, a product reporting by exception saw no change: that counts as one value.
    What the agent makes itself (`online`, health of devices and lines) is left out. Judge when `truth.end_ms` is set:
    before that the values that
    hold now are not in the file, so they are neither produced nor can a reading of them be wrong.
    """
    rows: dict[str, list[tuple[int, Value]]] = defaultdict(list)
    for point, observed_ms, value in stored:
        if point.rpartition("/")[2] not in AGENTS_OWN:
            rows[point].append((observed_ms, value))
    segments: dict[str, list[Segment]] = defaultdict(list)
    for segment in truth.segments:
        segments[segment.point].append(segment)
    counts = ReadingCounts(produced=0, unseen=0, stored=0, lost=0, duplicated=0, wrong=0, details=[])
    for point in rows:
        rows[point].sort(key=lambda row: row[0])
    for point, of_point in segments.items():
        _count_produced(of_point, rows.get(point, []), counts)
    for point, of_point_rows in rows.items():
        _count_untrue(point, segments.get(point, []), of_point_rows, counts, ended=truth.end_ms is not None)
    return counts


def judge_alarms(truth: Truth, transitions: Iterable[tuple[str, str, str, int]]) -> AlarmCounts:
    """Compare what was said with what had to be said.

    Args:
        transitions: (rule, subject, `raise` or `clear`, event_ms); subjects as in the truth file. Others than raises
            are not judged.

    Each expected alarm takes one raise with a time from..to (and tolerances). Any other raise is false: a second
    one for the same condition as well. What was said after the simulators stopped is not judged, nor what the product
    says of itself (the site `system`, an agent's clock and backlog) unless the truth file expects it.
    """
    end_ms = math.inf if truth.end_ms is None else truth.end_ms
    raises = sorted(
        (at, rule, subject) for rule, subject, event, at in transitions if event == "raise" and at <= end_ms
    )
    taken: set[int] = set()
    due: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, alarm in enumerate(truth.alarms):
        due[alarm.rule, alarm.subject].append(number)
    details: list[str] = []
    false = 0
    for at, rule, subject in raises:
        fitting = [n for n in due.get((rule, subject), []) if _alarm_fits(truth.alarms[n], at)]
        free = next((n for n in fitting if n not in taken), None)
        if free is None and not fitting and _is_own(subject):
            continue
        if free is None:
            false += 1
            why = "again for one condition" if fitting else "nothing called for it"
            details.append(f"false: {rule} {subject} at {at}: {why}")
        else:
            taken.add(free)
    segments: dict[str, list[Segment]] = defaultdict(list)
    for segment in truth.segments:
        segments[segment.point].append(segment)
    due_ones = [n for n, alarm in enumerate(truth.alarms) if alarm.due]
    unseen = {n for n in due_ones if n not in taken and not _was_readable(truth.alarms[n], segments)}
    expected = [n for n in due_ones if n not in unseen]
    for n in expected:
        if n not in taken:
            alarm = truth.alarms[n]
            details.append(f"missed: {alarm.rule} {alarm.subject} from {alarm.from_ms} to {alarm.to_ms}")
    raised = sum(1 for n in expected if n in taken)
    return {
        "expected": len(expected),
        "raised": raised,
        "missed": len(expected) - raised,
        "false": false,
        "unseen": len(unseen),
        "details": details,
    }


def _count_produced(segments: list[Segment], rows: list[tuple[int, Value]], counts: ReadingCounts) -> None:
    """Runs of one value that a product must have; `between` are the unsure ones since the last sure one."""
    runs: list[tuple[Segment, int]] = []
    between: list[Segment] = []
    last: Segment | None = None
    for segment in segments:
        if not segment.sure:
            counts["unseen"] += 1
            between.append(segment)
            continue
        unchanged = (
            last is not None
            and last.quality == segment.quality == GOOD
            and not segment.printed
            and same_value(last.value, segment.value)
            and not any(_stored_within(rows, part.value, part.from_ms, part.to_ms) for part in between)
        )
        if unchanged:
            runs[-1] = (runs[-1][0], segment.to_ms)
        elif segment.quality == GOOD:
            runs.append((segment, segment.to_ms))
        last, between = segment, []
    for segment, to_ms in runs:
        counts["produced"] += 1
        if _stored_within(rows, segment.value, segment.from_ms, to_ms):
            counts["stored"] += 1
        else:
            counts["lost"] += 1
            _note(counts, f"lost: {segment.point} = {segment.value!r} from {segment.from_ms} to {to_ms}")


def _count_untrue(
    point: str, segments: list[Segment], rows: list[tuple[int, Value]], counts: ReadingCounts, *, ended: bool
) -> None:
    for observed_ms, times in Counter(at for at, _ in rows).items():
        if times > 1:
            counts["duplicated"] += times - 1
            _note(counts, f"duplicated: {point} at {observed_ms}: {times} times")
    good = [segment for segment in segments if segment.quality == GOOD]
    # What holds now stands in the file only when the simulators have stopped.
    known_ms = math.inf if ended else max((segment.to_ms for segment in segments), default=0) - EARLY_MS
    for observed_ms, value in rows:
        true = (
            value is None
            or observed_ms > known_ms
            or any(
                segment.from_ms - EARLY_MS <= observed_ms <= segment.to_ms + LATE_MS
                and same_value(segment.value, value)
                for segment in good
            )
        )
        if not true:
            counts["wrong"] += 1
            _note(counts, f"wrong: {point} at {observed_ms}: {value!r}")


def same_value(true: Value, stored: Value) -> bool:
    """Whether a stored value is the true one: numbers to a millionth, printed lines without regard to empty parts."""
    if isinstance(true, str) or isinstance(stored, str):
        return isinstance(true, str) and isinstance(stored, str) and _parts(true) == _parts(stored)
    if true is None or stored is None:
        return true is stored
    return math.isclose(true, stored, rel_tol=1e-6, abs_tol=1e-9)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split("|") if part.strip()]


def _stored_within(rows: list[tuple[int, Value]], value: Value, from_ms: int, to_ms: int) -> bool:
    start = bisect_left(rows, from_ms - EARLY_MS, key=lambda row: row[0])
    for observed_ms, found in rows[start:]:
        if observed_ms > to_ms + LATE_MS:
            return False
        if same_value(value, found):
            return True
    return False


def _alarm_fits(alarm: Alarm, at_ms: int) -> bool:
    end_ms = math.inf if alarm.to_ms is None else alarm.to_ms + ALARM_LATE_MS
    return alarm.from_ms - ALARM_EARLY_MS <= at_ms <= end_ms


def _was_readable(alarm: Alarm, segments: dict[str, list[Segment]]) -> bool:
    """Whether the alarm's point was read twice and early enough for the rule's delay to run out before the end.

    True for devices and agents, and while the point's segment is not written yet.
    """
    end_ms = alarm.seen_to_ms if alarm.to_ms is None else alarm.to_ms
    of_point = segments.get(alarm.subject.partition("/")[2], [])
    during = [s for s in of_point if s.from_ms >= alarm.from_ms - EARLY_MS and s.to_ms <= end_ms + EARLY_MS]
    if not during or any(segment.printed for segment in during):
        return True
    served = [segment.first_served_ms for segment in during if segment.first_served_ms is not None]
    return sum(segment.served for segment in during) >= 2 and min(served) + alarm.after_ms + _READ_SLACK_MS <= end_ms


def _is_own(subject: str) -> bool:
    """Whether the subject is a part of the product, of whose state the truth file knows nothing."""
    site, _, rest = subject.partition("/")
    return site == SYSTEM_SITE or rest.startswith(agent_device(""))


def _note(counts: ReadingCounts, text: str) -> None:
    if len(counts["details"]) < _EXAMPLES:
        counts["details"].append(text)
