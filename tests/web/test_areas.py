"""What screens of a user of one area are told by the stream of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from gateway.web.stream import Hub

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
    hub = Hub(5, lambda: 1)
    hub.fires = lambda sites: [1, 2] if sites is None else [1]
    mine, all_of_it = hub.follow(None, HERE, "duty"), hub.follow(None)
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


async def test_the_screens_of_one_user_end_when_the_area_of_that_user_changes() -> None:
    """They connect again, as what the user may see now; others go on."""
    hub = Hub(5, lambda: 1)
    mine, other = hub.follow(None, HERE, "duty"), hub.follow(None, None, "chief")
    await told(mine, 1)
    await told(other, 1)
    hub.close("duty")
    assert [chunk async for chunk in mine] == []
    hub.publish("standing", None)
    assert await told(other, 1) == [("standing", None)]
    await other.aclose()  # type: ignore[attr-defined]  # an async generator
