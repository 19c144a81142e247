"""What screens of a user of one area are told by the stream of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from gateway.ledger import audit
from gateway.ledger.records import AuditEntry
from gateway.ledger.store import FILE
from gateway.web.areas import AreaLedger
from gateway.web.ledger import WebLedger
from gateway.web.stream import Hub
from gateway.web.stream_shares import Listener, Shares
from tests.web.station import Station

HERE = frozenset({"shuiye", "west-side"})


async def told(stream: AsyncIterator[bytes], count: int) -> list[tuple[str, Any]]:
    """The next events: (name, data)."""
    found: list[tuple[str, Any]] = []
    while len(found) < count:
        for chunk in (await anext(stream)).split(b"\n\n"):
            lines = chunk.split(b"\n")
            if lines[0].startswith(b"event: "):
                found.append((lines[0][7:].decode(), json.loads(lines[1][6:])))
    return found


async def test_a_screen_is_told_of_its_own_area_when_things_happen_everywhere() -> None:
    """Rows of other sites never reach it; what is of no site, or of the gateway itself, does."""
    hub = Hub(Shares(5), lambda: 1)
    hub.fires = lambda sites: [1, 2] if sites is None else [1]
    mine, all_of_it = hub.follow(None, HERE, Listener("duty")), hub.follow(None)
    assert [(await told(mine, 1))[0][1]["fires"], (await told(all_of_it, 1))[0][1]["fires"]] == [[1], [1, 2]]
    for site in ("shuiye", "east", "system", "west-side"):
        hub.publish("entry", {"kind": "incident", "id": 1, "site": site})
    hub.publish("standing", None)
    hub.publish("reading", [["shuiye/a/b", 1, 1.0, "good"], ["east/a/b", 1, 1.0, "good"]])
    hub._flush()
    assert [row[1]["site"] for row in await told(mine, 3)] == ["shuiye", "system", "west-side"]
    assert await told(mine, 2) == [("standing", None), ("reading", [["shuiye/a/b", 1, 1.0, "good"]])]
    assert len((await told(all_of_it, 6))[-1][1]) == 2
    await mine.aclose()  # type: ignore[attr-defined]  # an async generator
    await all_of_it.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_none_of_ten_thousand_events_of_another_area_reaches_a_screen() -> None:
    """Of every kind and all mixed with one's own: of those of another area not one."""
    hub, seen = Hub(Shares(5), lambda: 1), 0
    stream = hub.follow(None, HERE, Listener("duty"))
    await told(stream, 1)
    for number in range(10_000):
        name = ("alarm", "agent", "entry", "unknown_device", "duty")[number % 5]
        hub.publish(name, {"id": number, "site": "east"})
        hub.publish("reading", [[f"east/a/b{number}", 1, 1.0, "good"]])
        if number % 100 == 0:
            hub.publish(name, {"id": number, "site": "shuiye"})
            hub._flush()
            (event,) = await told(stream, 1)
            assert event == (name, {"id": number, "site": "shuiye"})
            seen += 1
    assert seen == 100
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_the_screens_of_one_user_end_when_the_area_of_that_user_changes() -> None:
    """They connect again, as what the user may see now; others go on."""
    hub = Hub(Shares(5), lambda: 1)
    mine, other = hub.follow(None, HERE, Listener("duty")), hub.follow(None, None, Listener("chief"))
    await told(mine, 1)
    await told(other, 1)
    hub.close("duty")
    assert [chunk async for chunk in mine] == []
    hub.publish("standing", None)
    assert await told(other, 1) == [("standing", None)]
    await other.aclose()  # type: ignore[attr-defined]  # an async generator


def test_what_people_wrote_and_who_they_are_is_read_in_their_own_area_only(station: Station) -> None:
    """Names, histories, words of the public and counts of alarms: those of the area, and none of another."""
    for number, site in ((1, "shuiye"), (2, "east")):
        for kind in ("person", "hazard"):
            row = json.dumps({"id": number, "site": site})
            station.db.execute("INSERT INTO entry VALUES (?,?,?,'active',1,0,NULL,?)", (kind, number, site, row))
            audit.append(station.db, [AuditEntry(1, "gateway", f"{kind}.add", f"{kind}/{number}", {})])
        station.db.execute("INSERT INTO identity (person, name) VALUES (?,?)", (number, f"name {number}"))
        station.db.execute("INSERT INTO public_report VALUES (?,?,'words','','',NULL)", (number, f"receipt {number}"))
        station.alarm("panel-fire", f"{site}/panel-01/p012", "fire")
    ledger = WebLedger(station.data_dir / FILE)
    mine = AreaLedger(ledger, HERE)
    try:
        assert (set(ledger.identities()), set(mine.identities())) == ({1, 2}, {1})
        for kind in ("person", "hazard"):
            assert [len(mine.entry_history(kind, number)) for number in (1, 2, 3)] == [1, 0, 0]
        assert [mine.public_report(number) is not None for number in (1, 2)] == [True, False]
        assert [mine.public_receipt(f"receipt {number}") is not None for number in (1, 2)] == [True, False]
        assert [mine.dossier(number) is not None for number in (1, 2)] == [True, False]
        assert (ledger.alarms_by_rule(0), mine.alarms_by_rule(0)) == ({"panel-fire": 2}, {"panel-fire": 1})
    finally:
        ledger.close()
