"""Which observations become readings."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.messages import Reading
from edge_agents.drivers.printer import PrintedEvent
from edge_agents.panel_report import PanelReport
from edge_agents.reporting import DeviceReport, Observation, Reported, ReportRule, Reports

RULES = (ReportRule("pressure_kpa", False, 2.0), ReportRule("cap_open", True, 0.0))
T0 = 1_800_000_000_000


def new_report() -> DeviceReport:
    """A hydrant with one number and one contact; silence 300 s, three misses."""
    return DeviceReport("h1", RULES, 300.0, 3)


def seen(pressure: float | None, is_open: bool = False, quality: str = "good") -> list[Observation]:
    """One read of the hydrant."""
    return [Observation(0, pressure, quality), Observation(1, is_open, "good")]


def all_of(reports: Reports) -> list[tuple[str, object, str]]:
    """Readings without their times."""
    return [(r.point, r.value, r.quality) for r in reports.alarm + reports.telemetry]


def test_everything_is_reported_when_first_seen() -> None:
    """The first answer reports online and every point."""
    reports = new_report().answered(seen(300.0), T0)
    assert all_of(reports) == [
        ("h1/online", True, "good"),
        ("h1/cap_open", False, "good"),
        ("h1/pressure_kpa", 300.0, "good"),
    ]
    assert [r.point for r in reports.telemetry] == ["h1/pressure_kpa"]


def test_nothing_is_reported_when_nothing_moves() -> None:
    """Values within the deadband of the last reported one are no news."""
    report = new_report()
    report.answered(seen(300.0), T0)
    assert all_of(report.answered(seen(301.9), T0 + 1000)) == []
    assert all_of(report.answered(seen(302.0), T0 + 2000)) == [("h1/pressure_kpa", 302.0, "good")]


def test_a_slow_drift_is_reported_when_it_adds_up() -> None:
    """The deadband counts from the last reported value, so a slow leak is not hidden."""
    report = new_report()
    report.answered(seen(300.0), T0)
    reported = [report.answered(seen(300.0 - n * 0.5), T0 + n * 1000).telemetry for n in range(1, 9)]
    assert [r.value for reports in reported for r in reports] == [298.0, 296.0]


def test_a_change_of_quality_is_always_reported() -> None:
    """Bad and back are two readings even when the value is the same."""
    report = new_report()
    report.answered(seen(300.0), T0)
    assert all_of(report.answered(seen(None, quality="bad:missing"), T0 + 1)) == [
        ("h1/pressure_kpa", None, "bad:missing")
    ]
    assert all_of(report.answered(seen(300.0), T0 + 2)) == [("h1/pressure_kpa", 300.0, "good")]
    doubtful = report.answered(seen(300.0, quality="uncertain:drift"), T0 + 3)
    assert all_of(doubtful) == [("h1/pressure_kpa", 300.0, "uncertain:drift")]


def test_a_value_is_repeated_when_silent_for_too_long() -> None:
    """After max_silence_s everything says that it is still there."""
    report = new_report()
    report.answered(seen(300.0), T0)
    assert all_of(report.answered(seen(300.0), T0 + 299_000)) == []
    assert len(all_of(report.answered(seen(300.0), T0 + 300_000))) == 3


def test_a_device_is_offline_and_all_unknown_when_three_polls_are_missed() -> None:
    """Silence never leaves an old value standing."""
    report = new_report()
    report.answered(seen(300.0), T0)
    assert all_of(report.missed(T0 + 1)) == []
    assert all_of(report.missed(T0 + 2)) == []
    assert all_of(report.missed(T0 + 3)) == [
        ("h1/online", False, "good"),
        ("h1/cap_open", None, "unknown:no_answer"),
        ("h1/pressure_kpa", None, "unknown:no_answer"),
    ]
    assert all_of(report.missed(T0 + 4)) == []
    assert len(all_of(report.answered(seen(300.0), T0 + 5))) == 3


def test_two_misses_are_forgotten_when_the_device_answers() -> None:
    """Only misses in a row count."""
    report = new_report()
    report.answered(seen(300.0), T0)
    for n in range(10):
        report.missed(T0 + n)
        report.missed(T0 + n)
        assert all_of(report.answered(seen(300.0), T0 + n)) == []


def test_everything_is_unknown_line_when_the_line_is_down() -> None:
    """A dead line says that nothing is known, not that the devices are off."""
    report = new_report()
    report.answered(seen(300.0), T0)
    assert {(value, quality) for _, value, quality in all_of(report.line_down(T0 + 1))} == {(None, "unknown:line")}


def test_an_edge_is_neither_repeated_nor_lost_when_restarted() -> None:
    """What the outbox kept of the alarm lane is where reporting goes on."""
    kept = {"h1/cap_open": Reported(True, "good", T0), "h1/online": Reported(True, "good", T0)}
    for is_open, expected in ((True, []), (False, [("h1/cap_open", False, "good")])):
        report = new_report()
        report.restore(kept)
        reports = report.answered(seen(300.0, is_open), T0 + 5)
        assert [(r.point, r.value, r.quality) for r in reports.alarm] == expected


values = st.one_of(st.none(), st.floats(-1e6, 1e6))


@settings(deadline=None)
@given(st.lists(st.tuples(values, st.booleans(), st.integers(-10_000, 400_000)), min_size=1, max_size=40))
def test_the_last_reading_stands_within_the_deadband_for_any_history(
    history: list[tuple[float | None, bool, int]],
) -> None:
    """Whatever comes, with any clock: the receiver's picture is the device's within the deadband, times are unique."""
    report, now_ms = new_report(), T0
    picture: dict[str, Reading] = {}
    times: dict[str, list[int]] = {}
    for pressure, is_open, step_ms in history:
        now_ms += step_ms
        quality = "good" if pressure is not None else "bad:missing"
        reports = report.answered(seen(pressure, is_open, quality), now_ms)
        for reading in reports.alarm + reports.telemetry:
            picture[reading.point] = reading
            times.setdefault(reading.point, []).append(reading.observed_ms)
        shown = picture["h1/pressure_kpa"]
        assert shown.quality == quality
        if pressure is None:
            assert shown.value is None
        else:
            assert isinstance(shown.value, float)
            assert abs(shown.value - pressure) < 2.0
        assert picture["h1/cap_open"].value == is_open
    for stamps in times.values():
        if all(step >= -4000 for _, _, step in history) and sum(min(0, step) for _, _, step in history) > -4000:
            assert len(set(stamps)) == len(stamps)


def fire(point: str = "l004p004", state: str = "fire") -> PrintedEvent:
    """One printed event."""
    return PrintedEvent(f"text of {point}", point, state, False)


def test_a_printing_panel_is_not_taken_for_well_when_it_says_nothing() -> None:
    """An open port proves nothing; the first byte does."""
    panel = PanelReport("fp", 3600)
    assert all_of(panel.opened(T0)) == [("fp/online", True, "uncertain:no_traffic")]
    assert all_of(panel.heard(T0 + 1)) == [("fp/online", True, "good")]
    assert all_of(panel.heard(T0 + 2)) == []
    assert ("fp/online", True, "uncertain:no_traffic") in all_of(panel.refresh(T0 + 3_600_002))


def test_every_printout_is_reported_when_two_are_alike() -> None:
    """Two equal lines within a moment are two readings; the point's state is one."""
    panel = PanelReport("fp", 3600)
    first, second = panel.printed(fire(), T0), panel.printed(fire(), T0)
    assert [r.point for r in first.alarm] == ["fp/l004p004", "fp/printout"]
    assert [r.point for r in second.alarm] == ["fp/printout"]
    assert second.alarm[0].observed_ms == first.alarm[1].observed_ms + 4


def test_every_active_point_returns_to_normal_when_the_panel_is_reset_after_a_restart() -> None:
    """The points to reset come from the outbox file."""
    before = PanelReport("fp", 3600)
    reports = [before.printed(fire(), T0), before.printed(fire("l001p002", "fault"), T0 + 1)]
    kept = {r.point: Reported(r.value, r.quality, r.observed_ms) for rs in reports for r in rs.alarm}
    panel = PanelReport("fp", 3600)
    panel.restore(kept)
    assert panel.active == ["l001p002", "l004p004"]
    reset = panel.printed(PrintedEvent("系统复位", None, None, True), T0 + 9)
    assert [(r.point, r.value) for r in reset.alarm[:-1]] == [("fp/l004p004", "normal"), ("fp/l001p002", "normal")]
    assert panel.active == []


def test_an_active_point_is_not_good_again_when_the_line_was_away() -> None:
    """What was printed meanwhile is not known, and is said so."""
    panel = PanelReport("fp", 3600)
    panel.printed(fire(), T0)
    assert ("fp/l004p004", None, "unknown:line") in all_of(panel.line_down(T0 + 1))
    assert ("fp/l004p004", "fire", "uncertain:missed_events") in all_of(panel.opened(T0 + 2))
