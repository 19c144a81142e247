"""Everything upward, put together: one outbox, feeder and link for each centre."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

from contract.errors import ConfigError, RetryLater
from gateway.control.client import ControlError
from gateway.control.protocol import Ask
from gateway.duty.checks import CENTRE
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import Store
from gateway.pipeline import Pipeline
from gateway.settings import GatewaySettings
from gateway.upward.answers import Answers
from gateway.upward.equipment import Equipment, EquipmentOf
from gateway.upward.feeder import Current, Feeder
from gateway.upward.link import CentreLink
from gateway.upward.outbox import UpwardOutbox, forget_others
from gateway.upward.settings import Centre

Supervise = Callable[[str, Callable[[], Awaitable[None]]], Any]


class Upward:
    """The ways to all centres. `status` and `wake` may be called at any time.

    Args:
        equipment: site -> profiles and rules now. current: site -> its points now. is_path_broken: site -> whether an
            agent or line of it cannot be heard. title: site -> its name.
        duty_asked: takes (centre, site, minutes) of a duty check; durable when it returns.
    """

    def __init__(
        self,
        centres: list[Centre],
        store: Store,
        *,
        equipment: Callable[[str], Equipment],
        current: Callable[[str], Mapping[str, Current]],
        is_path_broken: Callable[[str], bool],
        title: Callable[[str], str],
        duty_asked: Callable[[str, str, int], Awaitable[None]],
        version: tuple[int, int],
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._reader = LedgerReader(store.path)
        self._outbox_reader = LedgerReader(store.path)
        """Another connection: what is to be sent is found while the feeders read what was committed."""
        self._centres = centres
        self.links: dict[str, CentreLink] = {}
        self._feeders: dict[str, Feeder] = {}
        for centre in centres:
            self._add(centre, equipment, current, is_path_broken, title, duty_asked, version, now_ms)

    def _add(
        self,
        centre: Centre,
        equipment: Callable[[str], Equipment],
        current: Callable[[str], Mapping[str, Current]],
        is_path_broken: Callable[[str], bool],
        title: Callable[[str], str],
        duty_asked: Callable[[str, str, int], Awaitable[None]],
        version: tuple[int, int],
        now_ms: Callable[[], int],
    ) -> None:
        site, outbox = centre.site, UpwardOutbox(self._store, self._outbox_reader, centre.id)

        def filled() -> None:
            self.links[centre.id].nudge()

        feeder = Feeder(
            centre, outbox, self._reader, lambda: equipment(site), lambda: current(site), filled, now_ms
        )  # fmt: skip
        answers = Answers(
            feeder, lambda: current(site), lambda: equipment(site).profiles, lambda: is_path_broken(site), title(site),
            version, now_ms,
        )  # fmt: skip

        async def asked(minutes: int) -> None:
            await duty_asked(centre.id, site, minutes)

        self._feeders[centre.id] = feeder
        self.links[centre.id] = CentreLink(centre, outbox, feeder, answers, asked, now_ms)

    def wake(self) -> None:
        """Tell that something was committed; cheap."""
        for link in self.links.values():
            link.wake()

    def status(self) -> dict[str, Any]:
        """How each connection goes."""
        return {
            name: {
                "connected": link.status.connected, "since_ms": link.status.since_ms,
                "connects": link.status.connects,
                "confirmed": link.status.confirmed, "denied": link.status.denied, "repeated": link.status.repeated,
                "last_confirm_ms": link.status.last_ms, "untold_values": self._feeders[name].translator.untold,
            }
            for name, link in self.links.items()
        }  # fmt: skip

    @asynccontextmanager
    async def running(self, supervise: Supervise) -> AsyncIterator[None]:
        """Runs while the context is open. supervise: begins a part again when it ends."""
        names = [centre.id for centre in self._centres]
        await self._store.run(lambda connection: forget_others(connection, names))
        parts = [(f"upward.{name}.feed", feeder.run) for name, feeder in self._feeders.items()]
        parts += [(f"upward.{name}", link.run) for name, link in self.links.items()]
        tasks = [asyncio.create_task(supervise(name, run), name=name) for name, run in parts]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            for reader in (self._reader, self._outbox_reader):
                await asyncio.to_thread(reader.close)


def new_upward(
    settings: GatewaySettings,
    store: Store,
    pipeline: Pipeline,
    now_ms: Callable[[], int],
) -> Upward:
    """The ways to the centres of the settings, seen from a pipeline. Raises ConfigError, see `check_centres`."""
    check_centres(settings.centres, set(pipeline.installation.sites))

    def current(site: str) -> dict[str, Current]:
        head = f"{site}/"
        return {
            key[len(head) :]: Current(slot.value, slot.quality, slot.observed_ms)
            for key, slot in pipeline.working.engine.values()
            if key.startswith(head)
        }

    def is_path_broken(site: str) -> bool:
        engine = pipeline.working.engine
        devices = equipment(site).profiles
        return any(engine.cause_of(site, device) is not None for device in devices)

    known = EquipmentOf()

    def equipment(site: str) -> Equipment:
        return known.of(site, pipeline.installation, pipeline.working.approved)

    async def duty_asked(centre: str, site: str, minutes: int) -> None:
        args = {"site": site, "origin": f"{CENTRE}{centre}", "minutes": minutes}
        try:
            await pipeline.ask(Ask(id=0, op="duty.ask", actor=f"{CENTRE}{centre}", args=args))
        except ControlError as exc:
            raise RetryLater(str(exc)) from exc

    major, _, minor = metadata.version("weizhan").partition(".")
    return Upward(
        settings.centres, store, equipment=equipment, current=current, is_path_broken=is_path_broken,
        title=lambda site: pipeline.installation.sites[site].title.zh, duty_asked=duty_asked,
        version=(int(major), int(minor.partition(".")[0])), now_ms=now_ms,
    )  # fmt: skip


def check_centres(centres: list[Centre], sites: set[str]) -> None:
    """Raises ConfigError for a centre named twice, or one of a site that is not configured."""
    seen: set[str] = set()
    for number, centre in enumerate(centres):
        if centre.id in seen:
            raise ConfigError(f"gateway.centres.{number}.id: got {centre.id!r} again, want each centre once.")
        seen.add(centre.id)
        if centre.site not in sites:
            raise ConfigError(
                f"gateway.centres.{number}.site: got {centre.site!r}, want one of {', '.join(sorted(sites)) or 'none'}."
            )
