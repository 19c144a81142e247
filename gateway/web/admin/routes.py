"""The routers of these pages, in one place for the application."""

from __future__ import annotations

from gateway.web.admin import accounts, audit, backups, channels, overview, sites

PAGES = (overview.router, accounts.router, channels.router, sites.router, backups.router, audit.router)
APIS = (overview.api, accounts.api, channels.api, sites.api, backups.api, audit.api)
