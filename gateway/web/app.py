"""The web process put together: create_app for the routes, run for the process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI
from starlette.requests import Request
from starlette.staticfiles import StaticFiles

from contract.errors import ConfigError, StartError
from contract.grid import load_grid
from contract.profile import ProfileLibrary
from contract.site import load_site
from gateway.control.client import SOCKET
from gateway.exports.desk import Desk
from gateway.history import open_history
from gateway.history.base import History
from gateway.history.settings import HistorySettings
from gateway.ledger.store import FILE
from gateway.settings import GatewaySettings
from gateway.web import (
    account_pages,
    alarm_pages,
    api,
    api_actions,
    api_page,
    auth_pages,
    chart_api,
    drill_pages,
    duty_pages,
    errors,
    health,
    outcomes,
    pages,
    receipt_pages,
    report_pages,
    stream_api,
)
from gateway.web.access import SAFE, STREAMS
from gateway.web.admin import routes as admin
from gateway.web.admin.jobs import Jobs
from gateway.web.board import board_api, map_pages
from gateway.web.board import pages as board_pages
from gateway.web.configured import Configured
from gateway.web.connections import Connection
from gateway.web.context import Web, web_of
from gateway.web.entity_tags import Tagged
from gateway.web.guard import Cookies, Guard
from gateway.web.headers import BodyLimit, SecurityHeaders
from gateway.web.inventory import Inventory
from gateway.web.ledger import WebLedger
from gateway.web.link import WAIT_S, Link, has_done
from gateway.web.once import Once
from gateway.web.openapi import operation_id
from gateway.web.picture import Picture
from gateway.web.records import check_pages, export_pages, label_pages, record_pages, records_api
from gateway.web.registers import (
    assessment,
    equipment,
    grid,
    hazards,
    hazards_api,
    incidents,
    incidents_api,
    patrols,
    patrols_api,
    people,
    photos,
    readiness,
    readiness_api,
    report_form,
    roster,
    shifts,
    shifts_api,
    staff_api,
    staff_import,
    training,
)
from gateway.web.registers.report_desk import ReportDesk
from gateway.web.render import HERE, STATIC, make_environment, version_of, wants_fragment
from gateway.web.sessions import MANNED, Sessions
from gateway.web.settings import WebSettings, hosts_of
from gateway.web.sign_in import Policy, SignIn
from gateway.web.stream import Hub
from gateway.web.texts import load_catalogues
from gateway.web.upkeep import routes as upkeep
from gateway.web.upkeep.lab_desk import LabDesk
from rules.model import load_packs

log = logging.getLogger(__name__)
PAGES = (
    health.router, outcomes.router, api_page.router, auth_pages.router, account_pages.router,
    board_pages.router, map_pages.router,
    pages.router,
    alarm_pages.router, drill_pages.router,
    duty_pages.router, report_pages.router,
    receipt_pages.router, readiness.router, shifts.router,
    staff_import.router,  # before /people/{person_id}
    people.router, roster.router, equipment.router, incidents.router, patrols.router, photos.router, training.router,
    *upkeep.PAGES,
    hazards.router, report_form.router, grid.router, assessment.router,
    *admin.PAGES,
    check_pages.router, export_pages.router, label_pages.router,  # before /records/{site}/{device}
    record_pages.router,
)  # fmt: skip
APIS = (
    outcomes.api, records_api.router,
    api.router, stream_api.router, api_actions.router, board_api.router, chart_api.router, readiness_api.router,
    shifts_api.router, staff_api.router, incidents_api.router,
    patrols_api.router, hazards_api.router, *upkeep.APIS, grid.api, assessment.api,
    *admin.APIS,
)  # fmt: skip
EXPORTS = "exports"
"""Folder of the exports, in the data folder."""
SEND_BYTES = 64 * 1024
COLLECT_AFTER = (20_000, 20, 20)
"""Objects made, and collections of each generation, before the next one is collected."""
STOP_S = 3.0
"""How long open requests may take to end when the process stops."""


def wall_ms() -> int:
    """Wall clock, ms UTC."""
    return time.time_ns() // 1_000_000


def create_app(
    settings: WebSettings,
    inventory: Inventory,
    data_dir: Path,
    history: History,
    *,
    configured: Configured | None = None,
    reload: Callable[[], Inventory] | None = None,
    now_ms: Callable[[], int] = wall_ms,
    monotonic: Callable[[], float] = time.monotonic,
    wait_s: float = WAIT_S,
) -> FastAPI:
    """The application: routes, guard, and (while it runs) the link to the gateway.

    Args:
        data_dir: the gateway's data folder; holds the ledger and the control socket.
        history: opened read-only by the caller, who closes it.
        configured: what administrators are told of the configuration file.
        reload: reads sites and rules again, when the gateway says that they changed; raises ConfigError.
        now_ms: wall clock, ms UTC. monotonic: for durations, s.
        wait_s: the gateway's answer to a command is awaited for so long.
    """
    hub = Hub(settings.shares, now_ms)
    changed = asyncio.Event()

    def tell(name: str, data: Any) -> None:
        # What the gateway runs on may be another after it was away.
        if name == "configuration" or (name == "gateway" and picture.connected and picture.snapshots > 1):
            changed.set()
        if name == "alarm":
            web.latency.told(data, now_ms())
        if name != "configuration":  # the screens are told once the pages know it
            hub.publish(name, data)

    picture = Picture(now_ms, tell)
    hub.state = lambda: (picture.connected, picture.since_ms)
    hub.fires = picture.waiting_fires
    hub.duty = picture.waiting_duty
    hub.faults = picture.waiting_faults
    hub.version = version_of(HERE)
    hub.changes = lambda: picture.changes
    cookies = Cookies.named(settings.secure)
    link = Link(data_dir / SOCKET, picture, wait_s)
    web = Web(
        settings=settings,
        now_ms=now_ms,
        inventory=inventory,
        ledger=WebLedger(data_dir / FILE),
        history=history,
        picture=picture,
        hub=hub,
        link=link,
        sign_in=SignIn(now_ms, monotonic, Policy(settings.password_classes, settings.password_days)),
        cookies=cookies,
        # Bound below: guard and sessions ask the context, which holds them.
        guard=Guard(cookies, lambda token, kinds: web.sessions.find(token, kinds), hosts_of(settings)),
        sessions=Sessions(
            lambda key: web.session(key),
            link.ask,
            lambda: web.inventory.grid,
            hub,
            now_ms,
            int(settings.idle_minutes * 60_000),
        ),
        catalogues=load_catalogues(),
        pages=make_environment(),
        jobs=Jobs(now_ms),
        configured=configured or Configured(),
        reports=ReportDesk(settings.report_form, monotonic),
        desk=Desk(data_dir / EXPORTS, now_ms, lambda job: export_pages.record(web, job)),
    )
    app = FastAPI(
        title="Weizhan",
        version="1",
        description="Monitoring gateway for micro fire stations: alarms, devices, values, history.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        dependencies=[Depends(_guard)],
        generate_unique_id_function=operation_id,
    )
    app.state.web = web
    app.state.link = link
    app.state.keep_inventory = partial(_keep_inventory, web, changed, reload)
    for router in PAGES:
        app.include_router(router, include_in_schema=False)
    for router in APIS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    errors.install(app)
    app.add_middleware(Once, monotonic=monotonic)
    app.add_middleware(Tagged)
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders, secure=settings.secure)
    return app


async def _guard(request: Request) -> AsyncIterator[None]:
    """Runs around every route: who may, before it; what was uploaded is let go of, after it, however it ended."""
    has_done.set(False)
    try:
        await _admit(request)
        yield
    finally:
        await request.close()


async def _admit(request: Request) -> None:
    path = getattr(request.scope.get("route"), "path", "")
    request.state.person = None
    web = web_of(request)
    person = request.state.person = await web.guard.check(request, path)
    request.state.sites = None if person is None else web.sites_of(person)
    if person is not None and (person.role in MANNED or not _is_background(request, path)):
        web.sessions.use(person.key)


def _is_background(request: Request, path: str) -> bool:
    """Whether a page asks by itself, not its reader: a stream, or the part of a page that changed."""
    return path in STREAMS or (request.method in SAFE and wants_fragment(request))


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    web: Web = app.state.web
    await web.sign_in.warm()
    async with app.state.link:
        tasks = [
            asyncio.create_task(web.sessions.run(), name="web-sessions"),
            asyncio.create_task(web.hub.run(), name="web-stream"),
            asyncio.create_task(web.desk.run(), name="web-exports"),
            asyncio.create_task(web.reports.run(app.state.link), name="web-reports"),
            asyncio.create_task(app.state.keep_inventory(), name="web-inventory"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await web.jobs.close()
            await web.lab.close()
            web.hub.close()
            web.ledger.close()


async def _keep_inventory(web: Web, changed: asyncio.Event, reload: Callable[[], Inventory] | None) -> None:
    """Know what the gateway runs on: read sites and rules again at each change."""
    while reload is not None:
        await changed.wait()
        changed.clear()
        try:
            web.inventory = await asyncio.to_thread(reload)
        except ConfigError as exc:
            log.warning("pages keep the configuration they have: %s", exc)
        await web.refresh_approvals()
        web.hub.publish("configuration", None)


def load_inventory(gateway: GatewaySettings) -> Inventory:
    """Sites and rules from the same files the gateway runs on. Raises ConfigError."""
    library = ProfileLibrary(gateway.profiles)
    sites = [load_site(path, library) for path in gateway.sites]
    files = zip(gateway.sites, sites, strict=True)
    return Inventory(
        sites={site.site: site for site in sites},
        rules=load_packs(gateway.rule_folders, gateway.rule_overrides),
        library=library,
        rule_folders=tuple(gateway.rule_folders),
        files={site.site: path for path, site in zip(gateway.sites, sites, strict=True)},
        grid_file=gateway.grid,
        grid=load_grid(gateway.grid, {site.site: (path, site) for path, site in files}),
    )


async def run(
    settings: WebSettings,
    gateway: GatewaySettings,
    history: HistorySettings,
    *,
    configured: Configured | None = None,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    wait_s: float = WAIT_S,
) -> None:
    """Serve the pages until SIGTERM or SIGINT (or until `stop` is set).

    Args:
        ready: told the address once pages are served, e.g. http://127.0.0.1:8080.
        wait_s: as for create_app.

    Raises:
        StartError: the port is in use, or certificate or key cannot be used.
        ConfigError: a site file, profile or rule pack is wrong.
    """
    inventory = load_inventory(gateway)
    listening = bind(settings)
    try:
        opened = open_history(history, gateway.data_dir, read_only=True)
        async with opened:
            reload = partial(load_inventory, gateway)
            app = create_app(
                settings, inventory, gateway.data_dir, opened, configured=configured, reload=reload, wait_s=wait_s
            )
            app.state.web.lab = LabDesk(gateway, history)
            await _serve(app, settings, listening, ready, stop)
    finally:
        listening.close()


def bind(settings: WebSettings) -> socket.socket:
    """The listening socket. Raises StartError naming the port when it is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named, asyncio switches the delay of small packets off; it costs 40 ms an answer otherwise.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Each connection has it from here: what a screen that stands still is owed does not pile up in the kernel.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        listening.bind((settings.host, settings.port))
        listening.listen(256)
    except OSError as exc:
        listening.close()
        raise StartError(
            f"web: port {settings.port} on {settings.host}: {exc.strerror}. "
            "Stop what uses it, or set web.port to another one."
        ) from exc
    return listening


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the process decides."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    app: FastAPI,
    settings: WebSettings,
    listening: socket.socket,
    ready: Callable[[str], None] | None,
    stop: asyncio.Event | None,
) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_graceful_shutdown=int(STOP_S),
        timeout_keep_alive=30,
        http=Connection,
        limit_concurrency=settings.stream_clients + 200,
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file,
        lifespan="on",
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as exc:
        raise StartError(
            f"web: {settings.tls_cert_file}, {settings.tls_key_file}: {exc}. Name a PEM certificate and its key."
        ) from exc
    server = _Server(config)
    stopping = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT) if stop is None else ()
    for number in signals:
        loop.add_signal_handler(number, stopping.set)
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="web-server")
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110  # uvicorn offers a flag, no event
            await asyncio.sleep(0.01)
        if stop is None:  # the process is the pages' own
            # Sites, texts, templates and routes stay for good, and values and rows are in no cycles: to collect all of
            # it would hold up every page for nothing.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECT_AFTER)
        if server.started and ready is not None:
            ready(address(settings, listening))
        waiting = asyncio.create_task(stopping.wait(), name="web-stop")
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        # Streams never end by themselves; without this a stop would wait for the last browser.
        web: Web = app.state.web
        web.hub.close()
        server.should_exit = True
        await serving


def address(settings: WebSettings, listening: socket.socket) -> str:
    """What to type into a browser."""
    if settings.public_url:
        return settings.public_url
    scheme = "https" if settings.tls_cert_file else "http"
    host, port = listening.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


__all__ = ["bind", "create_app", "load_inventory", "run"]
