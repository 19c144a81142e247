"""What came again: it has no effect, and it is counted exactly, day by day, whatever happens on the way."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.messages import Batch, Gap, Reading
from gateway.assessment.completeness import Evidence, Outage, account, stretches
from gateway.ingest.resent import WHOLE, count_resent, day_of
from gateway.installation import Installation, load_installation
from gateway.ledger.store import FILE
from gateway.settings import GatewaySettings
from gateway.web.ledger import WebLedger
from tests.gateway.harness import FIRE, PRESSURE, START_MS, Clock, arrival, batch, open_bench, until, write_site

MIN = 60_000
HOUR = 60 * MIN
SILENCE_S = 30.0
LIFE = st.lists(
    st.tuples(
        st.sampled_from(["telemetry", "telemetry", "alarm"]),
        st.integers(1, 4),  # readings of the hydrant
        st.booleans(),  # whether the batch arrives late
        st.booleans(),  # whether the agent gave up the batch before it
        st.integers(0, 3),  # how often an earlier batch comes again after it
        st.integers(0, 30),  # which
        st.booleans(),  # whether the gateway starts again after it
    ),
    min_size=1,
    max_size=8,
)


def ledger_rows(folder: Path, device: str) -> Counter[tuple[str, str, str]]:
    """(lane, day, what) -> how many, of one device or of the batches."""
    with WebLedger(folder / "data" / FILE) as reader:
        rows = reader.resent("shuiye", "edge1", device, "0000-00-00", "9999-99-99")
    found: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        found[row.lane, row.day, "batches"] += row.batches
        found[row.lane, row.day, "readings"] += row.readings
    return found


@settings(max_examples=20, deadline=None)
@given(LIFE)
def test_an_account_adds_up_and_what_came_again_stands_apart_when_anything_is_replayed(
    life: list[tuple[str, int, bool, bool, int, int, bool]],
) -> None:
    """due = received + late + lost, as if nothing had come twice; what came twice is counted to the reading."""
    with TemporaryDirectory() as name:
        asyncio.run(play(Path(name), life))


@cache
def loaded() -> Installation:
    """Read once for all examples: that takes longer than one of them."""
    with TemporaryDirectory() as name:
        return load_installation(GatewaySettings(sites=[write_site(Path(name))]))


async def play(folder: Path, life: list[tuple[str, int, bool, bool, int, int, bool]]) -> None:
    clock = Clock()
    seqs, sent = Counter[str](), list[tuple[str, int, int, Batch]]()
    again: dict[str, Counter[tuple[str, str, str]]] = {WHOLE: Counter(), "hydrant-01": Counter()}
    expected: dict[int, bool] = {}  # stretch -> whether something of it came in time
    gaps: list[Outage] = []
    steps = iter(life)
    step = next(steps, None)
    while step is not None:
        async with open_bench(folder, clock, load=lambda _: loaded()) as bench:
            while step is not None:
                lane, readings, late, gave_up, times, which, stops = step
                step = next(steps, None)
                clock.now_ms += 2 * HOUR
                measured = clock.now_ms - (5 * MIN if late else 2_000)
                seqs[lane] += 1
                given_up = []
                first = seqs[lane]
                if gave_up:
                    lost_ms = measured - 30 * MIN
                    given_up = [Gap(seqs[lane], 5, lost_ms, lost_ms + 10, "budget")]
                    gaps.append(Outage("gap", lost_ms, lost_ms + 11))
                    seqs[lane] += 1
                rows = [Reading(PRESSURE, measured + n, 150.0 + n) for n in range(readings)]
                message = batch(
                    seqs[lane], *rows, Reading(FIRE, measured, "normal"), lane=lane,  # type: ignore[arg-type]
                    covers_from=first, gaps=given_up, sent_ms=clock.now_ms,
                )  # fmt: skip
                sent.append((lane, readings, clock.now_ms, message))
                await bench.take(arrival(message, clock.now_ms))
                number = measured // MIN
                expected[number] = expected.get(number, False) or not late
                lane, readings, _, old = sent[which % len(sent)]
                clock.now_ms += 7 * HOUR
                await bench.take(*[arrival(old, clock.now_ms)] * times)
                day = day_of(clock.now_ms, "Asia/Shanghai")
                for device, count in ((WHOLE, readings + 1), ("hydrant-01", readings)):
                    again[device] += Counter(
                        {(lane, day, "batches"): times, (lane, day, "readings"): times * count} if times else {}
                    )
                if stops:
                    break
    for device, counted in again.items():
        assert ledger_rows(folder, device) == counted
    over = stretches(SILENCE_S, START_MS, clock.now_ms + 10 * MIN)
    with WebLedger(folder / "data" / FILE) as ledger:
        came = ledger.arrivals("shuiye", "edge1", "hydrant-01", over, round(SILENCE_S * 1000))
    known = came.by_point.get("pressure_kpa", {})
    assert known == expected
    counted_all = account(over, Evidence(frozenset(known), {}, known), gaps, START_MS)
    assert counted_all.adds_up
    assert counted_all.received == sum(expected.values())
    assert counted_all.late == len(expected) - sum(expected.values())
    assert counted_all.lost.get("gap", 0) == len({gap.from_ms // MIN for gap in gaps} - set(expected))
    assert came.readings == came.distinct == sum(readings for _, readings, *_ in sent)


async def test_what_came_again_is_counted_once_when_the_disk_did_not_take_it_at_first(tmp_path: Path) -> None:
    """The count is written with the answer: no receipt before it, and no second count for the same message."""
    first = arrival(batch(1, Reading(PRESSURE, START_MS, 1.0)))
    async with open_bench(tmp_path) as bench:
        await bench.take(first)
        told = len(bench.receipts)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            bench.pipeline.offer(first)
            await until(lambda: bench.pipeline.status()["ledger_fault"])
            assert len(bench.receipts) == told
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await until(lambda: bench.pipeline.status()["pending"] == 0)
    day = day_of(START_MS, "Asia/Shanghai")
    assert ledger_rows(tmp_path, "hydrant-01") == {("telemetry", day, "batches"): 1, ("telemetry", day, "readings"): 1}


def test_a_made_up_name_makes_no_row_when_it_stands_in_a_batch_that_came_again() -> None:
    """What is nobody's device is counted in the batch as a whole."""
    again = batch(1, *(Reading(f"dev-{n}/value", START_MS, 1.0) for n in range(1000)), Reading(PRESSURE, START_MS, 1.0))
    found = count_resent(again, "2026-11-30", lambda _, device: device == "hydrant-01")
    assert {key.device: readings for key, readings in found.items()} == {WHOLE: 1001, "hydrant-01": 1}
