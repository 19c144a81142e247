"""A city's messages: what agents would send, numbered without holes, and a truth that finds every difference."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import msgspec

from contract.messages import Batch, Reading
from contract.profile import ProfileLibrary
from contract.site import load_site
from simulators.city import FIRE_S, City, Sent, site_names, sum_up, write_sites

T0 = 1_760_000_000_000
_batch = msgspec.json.Decoder(Batch)


def play(city: City, seconds: int) -> list[Sent]:
    sent = list(city.hello())
    for second in range(1, seconds + 1):
        sent += city.due(T0 + second * 1000)
    return [*sent, *city.quiet(T0 + seconds * 1000)]


def test_every_lane_is_numbered_from_one_without_a_hole() -> None:
    """And every station speaks once a period."""
    sent = play(City(50, 5.0, 1, T0, fires_an_hour=60), 60)
    seqs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for message in sent:
        if message.seq:
            seqs[message.site, message.lane].append(message.seq)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in seqs.values())
    assert {len(numbers) for (_, lane), numbers in seqs.items() if lane == "telemetry"} == {12}


def test_the_truth_is_what_the_messages_hold() -> None:
    """Readings by number and digest; fires that begin and are over."""
    city = City(20, 5.0, 2, T0, fires_an_hour=120)
    batches = [_batch.decode(message.payload) for message in play(city, 120) if message.seq]
    for name, station in city.stations.items():
        readings = [reading for batch in batches if batch.site == name for reading in batch.readings]
        assert sum_up(reversed(readings)) == station.held
        burning = [r for r in readings if r.value == "fire"]
        assert [(r.point, r.observed_ms) for r in burning] == station.fires
        assert len(burning) == sum(r.value == "normal" and r.observed_ms > T0 for r in readings)
    assert any(station.fires for station in city.stations.values())
    assert FIRE_S < 120


def test_one_reading_too_few_too_many_or_another_value_shows() -> None:
    """The sum of hashes is another."""
    readings = [Reading("pool-01/level_m", T0 + n, 3.2) for n in range(3)]
    whole = sum_up(readings)
    other = Reading("pool-01/level_m", T0 + 2, 3.3)
    assert len({whole, sum_up(readings[:2]), sum_up([*readings, other]), sum_up([*readings[:2], other])}) == 4


def test_the_same_seed_sends_the_same_bytes() -> None:
    """To the last one."""
    assert play(City(10, 5.0, 3, T0), 30) == play(City(10, 5.0, 3, T0), 30)


def test_its_site_files_are_good(tmp_path: Path) -> None:
    """As the gateway reads them."""
    library = ProfileLibrary()
    paths = write_sites(tmp_path, 3)
    assert [load_site(path, library).site for path in paths] == site_names(3)
