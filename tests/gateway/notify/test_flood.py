"""A flood through the whole gateway: counts, not times."""

from __future__ import annotations

from pathlib import Path

from bench.flood import FIRES, play


async def test_every_fire_is_sent_alone_and_few_messages_tell_of_all_faults_when_they_flood_in(tmp_path: Path) -> None:
    """Pipeline, ledger, sender and a real webhook: nothing lost, merged or doubled, at most 20 about faults."""
    found = await play(tmp_path, panels=10, faults=1_995, length_s=2.0, quiet_s=2.5)
    assert found["faults_recorded"] == 1_995
    assert (found["fire_messages"], found["fires_grouped"]) == (FIRES, 0)
    assert found["faults_lost"] == 0
    assert found["fault_messages"] <= 20
