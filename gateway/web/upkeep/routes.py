"""Every route of the maintainer's pages, for the application that serves them."""

from __future__ import annotations

from gateway.web.upkeep import api, health_pages, orders

PAGES = (health_pages.router, orders.router)
APIS = (api.router,)
