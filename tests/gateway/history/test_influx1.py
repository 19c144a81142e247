"""The history in a real InfluxDB 1.x, compared with the embedded one."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import ConfigError, RetryLater
from gateway.history import open_history
from gateway.history.base import Row, Sample
from gateway.history.embedded import EmbeddedHistory
from gateway.history.influx1 import Influx1History
from gateway.history.line_protocol import encode, escape_tag
from gateway.history.settings import Influx1Settings
from tests.gateway.history.samples import DAY, T0, none_refused, row
from tests.parts.influxdb1 import PASSWORD, USER, InfluxDB1

TURN = 1_701_388_800_000
"""2023-12-01 00:00 UTC: the embedded store changes files here."""


def settings_for(part: InfluxDB1, **more: object) -> Influx1Settings:
    return Influx1Settings.model_validate(
        {
            "kind": "influx1",
            "url": part.url,
            "database": f"h{uuid.uuid4().hex[:12]}",
            "username": USER,
            "password_file": part.password_file,
            "timeout_s": 10,
            "keep_days": 36500,
            **more,
        }
    )


def opened(part: InfluxDB1, **more: object) -> Influx1History:
    history = open_history(settings_for(part, **more), Path("unused"))
    assert isinstance(history, Influx1History)
    return history


numbers = st.floats(-1e6, 1e6, allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, 1e-9])
values = numbers | st.booleans() | st.sampled_from(["fire", ""]) | st.none()
# Times crowd around bucket edges and the turn of the month.
times = st.builds(
    lambda edge, step, by: TURN + edge * step + by,
    st.integers(-5, 5),
    st.sampled_from([1, 7, 1000, 60_000, 3_600_000]),
    st.integers(-2, 2),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.dictionaries(times, values, max_size=40),
    bucket_ms=st.sampled_from([1, 7, 1000, 60_000, 3_600_000, 7 * DAY]),
    edges=st.tuples(times, times),
)
def test_buckets_are_the_same_from_embedded_store_and_influxdb(
    influxdb1: InfluxDB1, data: dict[int, float | bool | str | None], bucket_ms: int, edges: tuple[int, int]
) -> None:
    """The same rows and the same query give the same buckets and the same samples, whichever store is configured."""
    from_ms, to_ms = min(edges), max(edges)
    to_ms = min(to_ms, from_ms + 20_000 * bucket_ms)
    rows = [row(t, value, "good" if value is not None else "unknown:no_answer") for t, value in data.items()]

    async def both() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with EmbeddedHistory(Path(folder)) as near, opened(influxdb1) as far:
                # Twice, in two orders: duplicates have no effect.
                for each in (near, far):
                    await each.write(rows, none_refused)
                    await each.write(rows[::-1], none_refused)
                point = ("shuiye", "hydrant-1/pressure_kpa", from_ms, to_ms)
                want, got = await near.read(*point, bucket_ms), await far.read(*point, bucket_ms)
                assert [(b.start_ms, b.min, b.max, b.count) for b in got] == [
                    (b.start_ms, b.min, b.max, b.count) for b in want
                ]
                assert [b.mean for b in got] == pytest.approx([b.mean for b in want], rel=1e-9, abs=1e-6)
                assert await far.raw(*point, 1000) == await near.raw(*point, 1000)
                influxdb1.query(f'DROP DATABASE "{far._settings.database}"')

    asyncio.run(both())


async def test_every_kind_of_value_comes_back_when_it_was_written(influxdb1: InfluxDB1) -> None:
    """Numbers, truths, states, text and no value keep their type and quality."""
    kinds = [0.0, -1.5, 1e308, True, False, "fire", "", '首次火警 | 裙楼 \'x\' "y" \\ \\" \n,=', None, 5]
    rows = [row(T0 + n, value, "good" if n % 2 else "uncertain:stale") for n, value in enumerate(kinds)]
    async with opened(influxdb1) as history:
        await history.write(rows, none_refused)
        got = await history.raw("shuiye", "hydrant-1/pressure_kpa", T0, T0 + DAY, 100)
    assert got == [Sample(r.observed_ms, r.value, r.quality) for r in rows]
    assert [type(sample.value) for sample in got[:-1]] == [type(value) for value in kinds[:-1]]
    assert type(got[-1].value) is float


_ids = itertools.count()
tags = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(lambda t: t[-1] != "\\")
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=60)


@settings(max_examples=60, deadline=None)
@given(tag=tags | st.sampled_from(["a,b=c d", "\\,", "a\\ b", "=", '"x"', "a\\b"]), text=texts)
def test_any_tag_and_text_come_back_when_written_as_line_protocol(influxdb1: InfluxDB1, tag: str, text: str) -> None:
    """Escaping holds for names and text nobody should use: the server gives back exactly what was written."""
    database, t = "lines", T0 + next(_ids)
    if t == T0:
        influxdb1.query(f"CREATE DATABASE {database}")
    line = encode(Row("s", tag, "p", t, text, "good"))
    answer = httpx.post(
        f"{influxdb1.url}/write",
        params={"db": database, "precision": "ms"},
        content=line.encode(),
        auth=(USER, PASSWORD),
        trust_env=False,
        verify=False,  # plain HTTP; without this every call builds a TLS context
    )
    assert answer.status_code == 204, answer.text
    query = f'SELECT "device", "text" FROM "reading" WHERE time = {t}ms'
    assert influxdb1.query(query, database)[0]["series"][0]["values"] == [[t, tag, text]]


@pytest.mark.parametrize("text", ["", "a\nb", "a\\", "a\rb"])
def test_tag_is_refused_when_line_protocol_has_no_form_for_it(text: str) -> None:
    """What cannot be escaped is an error, never another name."""
    with pytest.raises(ValueError, match="want text without line ends"):
        escape_tag(text)


async def test_bad_rows_are_split_off_when_the_server_refuses_a_batch(influxdb1: InfluxDB1) -> None:
    """Rows InfluxDB cannot store go to `refused` with its reason; every other row of the batch is kept."""
    late = 10_000_000_000_000  # the year 2286: beyond nanoseconds in 64 bits
    bad = [row(late, 1.0), row(late + 1, 2.0), Row("shuiye", "no device", "x", T0, 1.0, "good")]
    good = [row(T0 + n, float(n)) for n in range(200)]
    refused: list[tuple[Sequence[Row], str]] = []
    async with opened(influxdb1) as history:
        rows = [bad[0], *good[:77], bad[1], *good[77:], bad[2]]
        await history.write(rows, lambda rows, why: refused.append((rows, why)))
        got = await history.raw("shuiye", "hydrant-1/pressure_kpa", T0, T0 + DAY, 1000)
    assert sorted(each for rows, _ in refused for each in rows) == sorted(bad)
    assert [sample.value for sample in got] == [float(n) for n in range(200)]
    assert any("outside range" in why or "time" in why for _, why in refused), refused


async def test_rows_older_than_the_retention_are_refused_and_it_is_set_on_the_server(influxdb1: InfluxDB1) -> None:
    """keep_days is the policy's duration, changed at the next start; what lies before it is refused."""
    first = settings_for(influxdb1, keep_days=30)
    refused: list[Row] = []
    now_ms = int(time.time() * 1000)

    def durations() -> dict[str, str]:
        found = influxdb1.query(f'SHOW RETENTION POLICIES ON "{first.database}"')
        return {each[0]: each[1] for each in found[0]["series"][0]["values"]}

    async with Influx1History(first) as history:
        await history.write([row(1_000_000_000_000, 1.0), row(now_ms, 2.0)], lambda rows, _: refused.extend(rows))
        assert [each.observed_ms for each in refused] == [1_000_000_000_000]
        assert durations()["weizhan"] == "720h0m0s"
        assert await history.prune(T0) == 0
    async with Influx1History(first.model_copy(update={"keep_days": 60})) as history:
        await history.write([row(now_ms, 2.0)], none_refused)
        assert durations()["weizhan"] == "1440h0m0s"


async def test_reader_makes_nothing_on_the_server(influxdb1: InfluxDB1) -> None:
    """The web process only asks; without the database it is told to come back."""
    chosen = settings_for(influxdb1)
    async with Influx1History(chosen, read_only=True) as reader:
        with pytest.raises(RetryLater, match="database not found"):
            await reader.read("shuiye", "hydrant-1/pressure_kpa", T0, T0 + 1, 1)
        assert (await reader.status()).detail == f"{influxdb1.url}: InfluxDB 1.6.7~rc0"
    databases = [each[0] for each in influxdb1.query("SHOW DATABASES")[0]["series"][0].get("values", [])]
    assert chosen.database not in databases


async def test_retry_later_names_the_cause_when_sign_in_or_server_fail(influxdb1: InfluxDB1, tmp_path: Path) -> None:
    """Wrong password, nobody listening, and no InfluxDB at all are told apart, and none is fatal."""
    wrong = tmp_path / "wrong"
    wrong.write_text("no\n")
    async with opened(influxdb1, password_file=wrong) as history:
        with pytest.raises(RetryLater, match=r"HTTP 401 .*Check user and password or token"):
            await history.write([row(T0, 1.0)], none_refused)
    async with opened(influxdb1, url="http://127.0.0.1:1") as history:
        with pytest.raises(RetryLater, match="Check that the server runs"):
            await history.write([row(T0, 1.0)], none_refused)
        assert (await history.status()).reachable is False
    with pytest.raises(ConfigError, match=r"history\.password_file must name a readable file"):
        await opened(influxdb1, password_file=tmp_path / "absent").open()


async def test_retry_later_when_the_server_hangs_and_the_rows_are_kept_once_it_goes_on() -> None:
    """A suspended server costs one timeout, a killed one nothing; after each the same write goes through."""
    with InfluxDB1() as part:
        async with opened(part, timeout_s=0.5) as history:
            await history.write([row(T0, 1.0)], none_refused)
            part.suspend()
            with pytest.raises(RetryLater, match="ReadTimeout"):
                await history.write([row(T0 + 1, 2.0)], none_refused)
            part.resume()
        async with opened(part) as history:
            await history.write([row(T0, 1.0)], none_refused)
            part.kill()
            with pytest.raises(RetryLater):
                await history.write([row(T0 + 1, 2.0)], none_refused)
            with pytest.raises(RetryLater):
                await history.read("shuiye", "hydrant-1/pressure_kpa", T0, T0 + DAY, DAY)
            await asyncio.to_thread(part.start)
            await history.write([row(T0 + 1, 2.0)], none_refused)
            got = await history.raw("shuiye", "hydrant-1/pressure_kpa", T0, T0 + DAY, 10)
    assert [sample.value for sample in got] == [1.0, 2.0]


async def test_database_is_made_again_when_somebody_dropped_it(influxdb1: InfluxDB1) -> None:
    """A dropped database is one failed try, not a stop."""
    async with opened(influxdb1) as history:
        await history.write([row(T0, 1.0)], none_refused)
        influxdb1.query(f'DROP DATABASE "{history._settings.database}"')
        with pytest.raises(RetryLater, match="database not found"):
            await history.write([row(T0 + 1, 2.0)], none_refused)
        await history.write([row(T0 + 1, 2.0)], none_refused)
        assert len(await history.raw("shuiye", "hydrant-1/pressure_kpa", T0, T0 + DAY, 10)) == 1
