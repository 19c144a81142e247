"""Plans for the demo's station with its devices on them: the town, and a floor of the town hall."""

from __future__ import annotations

from pathlib import Path

import simulators
from contract.site import Site
from gateway.control.client import SOCKET, ControlClient
from gateway.web.board.plan_pictures import FOLDER, store_plan

PICTURES = Path(simulators.__file__).parent / "plans"
"""Drawn as SVG, kept beside it as PNG: what people hand in is a picture."""
TOWN = {
    "hydrant-01": (390, 425), "hydrant-02": (310, 330), "hydrant-03": (560, 205),
    "panel-01": (520, 340), "pump-01": (440, 855), "pool-01": (520, 855), "main-01": (600, 855),
    "tank-01": (450, 655), "panel-02": (570, 655), "bay-01": (165, 620), "rack-01": (255, 570),
    "bay-02": (540, 570), "bay-03": (780, 640), "indoor-01": (865, 590),
}  # fmt: skip
"""Device -> place, thousandths of width and height."""
FIRST_FLOOR = {
    "panel-01/p007": (740, 490), "panel-01/p008": (565, 190), "panel-01/p009": (810, 190), "panel-01/p010": (180, 490),
}  # fmt: skip
PLANS = (("town", "镇区", TOWN), ("town-hall-first-floor", "镇政府二层", FIRST_FLOOR))


async def hang_plans(data_dir: Path, site: Site) -> None:
    """Put both plans up. A device the station does not have stays off them.

    Raises:
        RetryLater: the gateway is away. ControlError: it refuses.
    """
    known = {placed.entry.id for placed in site.placed()}
    async with ControlClient(data_dir / SOCKET) as gateway:
        for name, title, places in PLANS:
            kept = store_plan(data_dir / FOLDER, (PICTURES / f"{name}.png").read_bytes())
            picture = {"picture": kept.name, "width": kept.width, "height": kept.height}
            plan = await gateway.ask("floor_plan.add", "local", site=site.site, title=title, **picture)
            for at, (x, y) in places.items():
                if at.partition("/")[0] in known:
                    await gateway.ask("floor_plan.place", "local", id=plan["id"], at=at, x=x * 10, y=y * 10)
