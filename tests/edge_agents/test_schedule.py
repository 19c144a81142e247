"""The order of reads on a line, on a clock of the test's own."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agents.schedule import ALARM, REST, LineSchedule


def simulate(
    schedule: LineSchedule,
    until_s: float,
    answer_s: float = 0.05,
    timeout_s: float = 0.5,
    dead: frozenset[int] = frozenset(),
) -> list[tuple[float, int, int]]:
    """(start, device, group) of every read until `until_s`; dead devices cost their timeout."""
    now_s, reads = 0.0, []
    while now_s < until_s:
        job, wake_s = schedule.next_job(now_s)
        if job is None:
            assert wake_s > now_s
            now_s = wake_s
            continue
        reads.append((now_s, job.device, job.group))
        if job.device in dead:
            now_s += timeout_s
            schedule.missed(job, now_s, timeout_s)
        else:
            now_s += answer_s
            schedule.answered(job, now_s)
    return reads


def starts(reads: list[tuple[float, int, int]], device: int) -> list[float]:
    """Cycle starts of one device."""
    return [at for at, number, group in reads if number == device and group == 0]


def test_the_rate_does_not_drift_when_reads_take_time() -> None:
    """After an hour the k-th cycle still starts at phase + k * period."""
    schedule = LineSchedule([2.0, 3.0], [[REST], [REST]], 0.0)
    reads = simulate(schedule, 3600, answer_s=0.3)
    for device, period in ((0, 2.0), (1, 3.0)):
        times = starts(reads, device)
        phase = times[0]
        for k, at in enumerate(times):
            assert 0 <= at - (phase + k * period) <= 0.3 + 1e-6


def test_phases_are_spread_when_devices_share_a_period() -> None:
    """Thirty devices of one period do not all want the line at once."""
    schedule = LineSchedule([30.0] * 30, [[REST]] * 30, 0.0)
    times = [at for at, _, _ in simulate(schedule, 29)]
    assert max(sum(1 for at in times if second <= at < second + 1) for second in range(10)) <= 4


def test_alarm_points_go_first_when_both_are_due() -> None:
    """A due alarm device is read before devices that were due earlier."""
    schedule = LineSchedule([10.0, 10.0, 10.0], [[REST], [REST], [ALARM]], 0.0)
    job, _ = schedule.next_job(9.0)
    assert job is not None
    assert job.device == 2


def test_a_request_goes_before_everything() -> None:
    """Poll now means now, due or not."""
    schedule = LineSchedule([10.0, 10.0], [[ALARM], [REST]], 0.0)
    schedule.request(1)
    job, _ = schedule.next_job(0.0)
    assert job is not None
    assert job.device == 1
    schedule.answered(job, 0.1)
    following, _ = schedule.next_job(0.1)
    assert following is not None
    assert following.device == 0


def test_the_living_stay_on_time_when_half_of_the_devices_are_dead() -> None:
    """With 16 of 32 devices silent the others keep 1.2 times their period at p99 once the dead are known."""
    dead = frozenset(range(0, 32, 2))
    reads = simulate(LineSchedule([10.0] * 32, [[REST]] * 32, 0.0), 1200, dead=dead)
    gaps = sorted(
        b - a
        for device in set(range(32)) - dead
        for a, b in itertools.pairwise([at for at in starts(reads, device) if at > 120])
    )
    assert gaps[int(len(gaps) * 0.99)] <= 12.0
    busy_s = sum(0.5 for at, device, _ in reads if device in dead and at > 120)
    assert busy_s <= 0.11 * 1080


def test_the_dead_are_found_soon_when_half_die_at_once() -> None:
    """Each silent device has been asked in vain within two periods, and is only probed within four."""
    dead = frozenset(range(16))
    schedule = LineSchedule([10.0] * 32, [[REST]] * 32, 0.0)
    reads = simulate(schedule, 20, dead=dead)
    assert all(starts(reads, device) for device in dead)
    simulate(schedule, 40, dead=dead)
    assert {schedule.breaker(device) for device in dead} == {"open"}


def test_a_device_comes_back_to_its_rate_when_it_answers_again() -> None:
    """One answer to a probe closes the breaker."""
    schedule = LineSchedule([1.0], [[REST]], 0.0)
    simulate(schedule, 300, dead=frozenset({0}))
    assert schedule.misses(0) > 3
    now_s = 300.0
    while (found := schedule.next_job(now_s))[0] is None:
        now_s = found[1]
    assert found[0].is_probe
    schedule.answered(found[0], now_s)
    assert schedule.next_job(now_s)[1] <= now_s + 1.0


def test_every_group_is_read_in_a_cycle() -> None:
    """A device of three groups has all three read, in order, each period."""
    reads = simulate(LineSchedule([5.0], [[ALARM, ALARM, REST]], 0.0), 20)
    assert [group for _, _, group in reads][:6] == [0, 1, 2, 0, 1, 2]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0.1, 30), st.booleans()), min_size=1, max_size=12), st.floats(0.01, 2))
def test_no_device_starves_whatever_is_dead(drawn: list[tuple[float, bool]], answer_s: float) -> None:
    """Every living device is read, and the line never waits for ever."""
    dead = frozenset(n for n, (_, is_dead) in enumerate(drawn) if is_dead)
    schedule = LineSchedule([period for period, _ in drawn], [[REST]] * len(drawn), 0.0)
    reads = simulate(schedule, 300, answer_s=answer_s, dead=dead)
    assert {device for _, device, _ in reads} == set(range(len(drawn)))
