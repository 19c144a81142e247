"""Every route of the maintainer's pages, for the application that serves them."""

from __future__ import annotations

from gateway.web.upkeep import api, dates, health_pages, lab, lines, orders, profiles, quarantine

PAGES = (
    health_pages.router,
    orders.router,
    dates.router,
    lines.router,
    quarantine.router,
    profiles.router,
    lab.router,
)
APIS = (api.router,)
