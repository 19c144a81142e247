"""What of a foreign sensor's messages is news: own times, repeats, history, retained messages, silence."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from contract.messages import Reading
from contract.profile import ProfileLibrary
from edge_agents.foreign.drivers import decoder_of
from edge_agents.foreign.message import Measured, Message, Sample
from edge_agents.foreign.report import ForeignReport, Kept
from edge_agents.reporting import Reported, Reports

LIBRARY = ProfileLibrary()
LEAK, TERMINAL = LIBRARY["zigbee2mqtt-leak"], LIBRARY["wireless-hydrant-meokon"]
T = 1_760_000_000_000
SILENCE_MS = int(LEAK.max_silence_s * 1000)


def leak(*, is_wet: bool, time_ms: int | None = None) -> Message:
    """A message of the leak sensor."""
    return Message(time_ms, [Measured("leak", is_wet, "good")], [])


def told(reports: Reports, point: str = "leak") -> list[tuple[Any, str, int]]:
    """Readings of one point, times from T."""
    readings = reports.alarm + reports.telemetry
    return [(r.value, r.quality, r.observed_ms - T) for r in readings if r.point == f"s1/{point}"]


def new() -> ForeignReport:
    return ForeignReport("s1", LEAK, T)


def test_a_message_is_reported_at_its_own_time_when_it_has_one() -> None:
    """Points at the time said, `online` at arrival; the same again is no news."""
    report = new()

    first = report.taken(leak(is_wet=True, time_ms=T + 500), T + 900, is_retained=False).reports

    assert told(first) == [(True, "good", 500)]
    assert told(first, "online") == [(True, "good", 900)]
    assert told(report.taken(leak(is_wet=True, time_ms=T + 1500), T + 1900, is_retained=False).reports) == []


def test_a_repeat_has_no_effect_when_it_comes_again_and_after_a_restart() -> None:
    """Counted, not reported, not taken for a sign of life."""
    report, message = new(), leak(is_wet=True, time_ms=T + 500)
    first = report.taken(message, T + 900, is_retained=False).reports

    again = report.taken(message, T + 5000, is_retained=False)
    after = ForeignReport("s1", LEAK, T + 6000)
    after.restore({}, msgspec.json.decode(first.keep["sensor/s1"], type=Kept))
    restarted = after.taken(message, T + 7000, is_retained=False)

    assert (again.reports.alarm, again.repeats) == ([], 1)
    assert (told(restarted.reports), restarted.repeats) == ([], 1)
    assert (report.heard_ms, after.heard_ms) == (T + 500, T + 500)


def test_history_is_reported_with_the_present_behind_it_when_a_message_is_late() -> None:
    """An older dry message after a wet one is kept, and the last word stays wet."""
    report = new()
    report.taken(leak(is_wet=True, time_ms=T + 60_000), T + 60_000, is_retained=False)

    late = report.taken(leak(is_wet=False, time_ms=T + 1000), T + 61_000, is_retained=False).reports

    assert told(late) == [(False, "good", 1000), (True, "good", 60_001)]


def test_a_message_older_than_its_limit_says_nothing_of_now() -> None:
    """Its value stands at its own time, then everything is unknown and the sensor offline."""
    report = new()

    out = report.taken(leak(is_wet=False, time_ms=T - SILENCE_MS - 4), T, is_retained=False).reports

    assert told(out) == [(False, "good", -SILENCE_MS - 4), (None, "unknown:no_message", 0)]
    assert told(out, "online") == [(False, "good", 0)]


def test_a_retained_message_without_a_time_proves_nobody_alive() -> None:
    """Its value is doubtful and `online` stays unsaid; a fresh message settles both."""
    report = new()

    kept = report.taken(leak(is_wet=True), T + 12, is_retained=True).reports
    fresh = report.taken(leak(is_wet=True), T + 20, is_retained=False).reports

    assert (told(kept), told(kept, "online")) == ([(True, "uncertain:retained", 12)], [])
    assert (told(fresh), told(fresh, "online")) == ([(True, "good", 20)], [(True, "good", 20)])


def test_a_clock_that_cannot_be_right_is_said_and_the_value_kept() -> None:
    """Ahead of us, never set, or unreadable: the time of arrival and uncertain:clock."""
    for said_ms in (T + 3_600_000, 12_345, -1):
        taken = new().taken(leak(is_wet=True, time_ms=said_ms), T + 12, is_retained=False)
        assert told(taken.reports) == [(True, "uncertain:clock", 12)]
        assert taken.doubted == 1


def test_a_silent_sensor_is_offline_and_unknown_once() -> None:
    """After the profile's silence, not before, and said once; it comes back with its next message."""
    report = new()
    report.taken(leak(is_wet=False), T, is_retained=False)

    still = report.refresh(T + SILENCE_MS)
    gone = report.refresh(T + SILENCE_MS + 4)
    again = report.refresh(T + SILENCE_MS + 8)
    back = report.taken(leak(is_wet=False), T + SILENCE_MS + 12, is_retained=False).reports

    assert (told(still), told(still, "online")) == ([], [(True, "good", SILENCE_MS)])
    assert told(gone, "online") == [(False, "good", SILENCE_MS + 4)]
    assert told(gone) == [(None, "unknown:no_message", SILENCE_MS + 4)]
    assert again == Reports([], [])
    assert told(back, "online") == [(True, "good", SILENCE_MS + 12)]


def test_a_sensor_never_heard_is_offline_when_its_silence_has_passed() -> None:
    """Nothing is claimed before."""
    report = new()

    assert report.refresh(T + SILENCE_MS).alarm == []
    assert told(report.refresh(T + SILENCE_MS + 4), "online") == [(False, "good", SILENCE_MS + 4)]


def test_what_is_held_is_doubtful_when_the_broker_was_away() -> None:
    """Unknown while away, uncertain when back, good once the broker's retained copy says the same."""
    report, message = new(), leak(is_wet=True, time_ms=T)
    report.taken(message, T, is_retained=False)

    down = report.line_down(T + 1000)
    up = report.line_up(T + 2000)
    confirmed = report.taken(message, T + 2004, is_retained=True).reports

    assert (told(down), told(down, "online")) == ([(None, "unknown:line", 1000)], [(None, "unknown:line", 1000)])
    assert told(up) == [(True, "uncertain:missed_messages", 2000)]
    assert told(up, "online") == [(True, "uncertain:missed_messages", 2000)]
    assert (told(confirmed), told(confirmed, "online")) == ([(True, "good", 2004)], [])


def test_a_change_while_we_were_away_is_the_present_when_the_broker_kept_it() -> None:
    """Measured before we said unknown, heard after it: history at its time, the present now."""
    report = new()
    report.taken(leak(is_wet=False, time_ms=T), T, is_retained=False)
    report.line_down(T + 5000)
    report.line_up(T + 9000)

    out = report.taken(leak(is_wet=True, time_ms=T + 3000), T + 9004, is_retained=True).reports

    assert told(out) == [(True, "good", 3000), (True, "good", 9004)]


def test_cached_records_are_reported_once_each_in_order() -> None:
    """The ten records and the present of the example; sent again they have no effect."""
    report = ForeignReport("s1", TERMINAL, T)
    vector: Any = TERMINAL.test_vector
    message = decoder_of(TERMINAL)(vector.device, vector.payload.encode())
    now_ms = vector.time_ms + 2000

    first = report.taken(message, now_ms, is_retained=False)
    again = report.taken(message, now_ms + 60_000, is_retained=False)

    pressures = [r for r in first.reports.telemetry if r.point == "s1/pressure_kpa"]
    times = [r.observed_ms for r in pressures]
    assert times == sorted(set(times))
    assert [r.value for r in pressures] == [537, 538, 534, 536, 531, 542, 540, 541, 538]
    assert (again.reports.alarm, again.reports.telemetry, again.repeats) == ([], [], 11)


def test_records_of_an_outage_follow_the_present_when_they_come_late() -> None:
    """Records older than what was said are kept at their times; the last word is the present."""
    report = ForeignReport("s1", TERMINAL, T)

    def pressure(at_ms: int, value: float, *older: tuple[int, float]) -> Message:
        cached = [Sample(T + ms, Measured("pressure_kpa", kpa, "good")) for ms, kpa in older]
        return Message(T + at_ms, [Measured("pressure_kpa", value, "good")], cached)

    report.taken(pressure(600_000, 300.0), T + 600_000, is_retained=False)
    out = report.taken(pressure(660_000, 310.0, (0, 290.0), (60_000, 280.0)), T + 660_000, is_retained=False).reports

    assert told(out, "pressure_kpa") == [
        (290.0, "good", 0),
        (280.0, "good", 60_000),
        (310.0, "good", 660_000),
        (310.0, "good", 660_001),
    ]


def test_held_alarms_are_doubtful_after_a_restart() -> None:
    """What was reported before it comes back as uncertain until the sensor speaks."""
    report = ForeignReport("s1", LEAK, T)
    report.restore({"s1/leak": Reported(True, "good", T - 5000), "x/leak": Reported(False, "good", 1)}, Kept(T - 9, []))

    assert told(report.line_up(T)) == [(True, "uncertain:missed_messages", 0)]


def test_a_removed_sensor_says_so_once() -> None:
    """Its `online` is unknown:removed."""
    report = new()
    report.taken(leak(is_wet=False), T, is_retained=False)

    assert report.removed(T + 4).alarm == [Reading("s1/online", T + 4, None, "unknown:removed")]


def test_kept_state_is_small_when_messages_are_many() -> None:
    """A chatty JSON sensor does not write a list of everything it ever said."""
    report = new()
    for n in range(100):
        out = report.taken(leak(is_wet=n % 2 == 0, time_ms=T + n * 1000), T + n * 1000, is_retained=False).reports

    assert len(json.loads(out.keep["sensor/s1"])[1]) == 16


def test_a_message_is_the_present_when_our_clock_was_set_back() -> None:
    """A sensor without a clock of its own: what arrives last is the present, an hour back or not."""
    report = new()
    report.taken(leak(is_wet=False), T, is_retained=False)

    out = report.taken(leak(is_wet=True), T - 3_600_000, is_retained=False).reports

    assert [(value, quality) for value, quality, _ in told(out)] == [(True, "good")]


def test_own_time_is_placed_on_our_clock_when_the_wall_clock_was_stepped() -> None:
    """A sensor goes by the wall clock: an agent that started in 1970 places its time on its own, right one."""
    wall_ms, stepped_ms = T + 500, T - 60_000
    report = ForeignReport("s1", LEAK, 60_000)

    taken = report.taken(leak(is_wet=True, time_ms=wall_ms), 60_900, is_retained=False, stepped_ms=stepped_ms)

    assert told(taken.reports) == [(True, "good", 60_500 - T)]
    assert taken.doubted == 0
