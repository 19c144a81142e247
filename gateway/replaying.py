"""The stored history as a stream for replays: every known point, in order of time, with what the ledger adds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from contract.errors import ConfigError
from contract.messages import Reading
from contract.profile import ProfileLibrary
from contract.site import Site, load_site
from gateway.history import open_history
from gateway.history.base import MAX_RAW, History
from gateway.history.settings import HistorySettings
from gateway.installation import Installation
from gateway.ledger.reader import LedgerReader
from gateway.ledger.records import ApprovedDevice, GapRow, WorkRow
from gateway.ledger.store import FILE
from gateway.settings import GatewaySettings
from gateway.work.dates import Done, dated, dates_of
from rules.engine import Engine
from rules.model import Rule
from rules.replay import AWAY_FACTOR, Acknowledged, Dated, Item, Replay, Source, merge_series, replayable

DAY_MS = 86_400_000
BLOCK_MS = 7 * DAY_MS
"""Read from the store at once, for each point."""


@dataclass(frozen=True)
class Plant:
    """What the history is about: sites, profiles, approved devices, and the ledger's own memory of the time."""

    sites: dict[str, Site]
    library: ProfileLibrary
    approved: list[ApprovedDevice]
    points: list[str]
    """Points the ledger has a last value of, `site/device/point`."""
    acknowledged: list[Acknowledged]
    works: list[WorkRow]
    """Work recorded on devices, in order of time."""
    gaps: list[GapRow]
    latest_ms: int | None
    """Time of the latest reading the ledger knows."""

    @property
    def zones(self) -> dict[str, ZoneInfo]:
        """Time zone of each site."""
        return {site.site: ZoneInfo(site.time_zone) for site in self.sites.values()}

    def engine(self, rules: Mapping[str, Rule]) -> Engine:
        """A fresh engine, made as the gateway makes its own."""
        return Installation(self.sites, replayable(rules), self.library).engine(self.approved)

    def dates(self, from_ms: int, until_ms: int) -> list[Dated]:
        """Dates of the devices' lives: as they stood at the beginning, and each change since."""
        installation = Installation(self.sites, {}, self.library)
        told: list[Dated] = []
        done: Done = {}
        for row in self.works:
            if row.at_ms < from_ms:
                done.setdefault((row.site, row.device), {})[row.work] = row.at_ms
        for key in [(site, device) for site in self.sites for device in dated(installation, done, site)]:
            told.append(Dated(from_ms, *key, dates_of(installation, done, *key)))
        for row in self.works:
            if from_ms <= row.at_ms < until_ms:
                done.setdefault((row.site, row.device), {})[row.work] = row.at_ms
                told.append(Dated(row.at_ms, row.site, row.device, dates_of(installation, done, row.site, row.device)))
        return told

    def sources(self) -> list[Source]:
        """Every point the history may have something of, in a fixed order."""
        engine = self.engine({})
        names = {key for key, _ in engine.values()} | set(self.points)
        owners = Installation(self.sites, {}, self.library).owners(self.approved)
        found = []
        for key in sorted(names):
            site, device, point = key.split("/", 2)
            if (site, device) in owners:
                found.append(Source(site, f"{device}/{point}", (site, owners[site, device])))
        return found

    def silence_ms(self) -> dict[tuple[str, str], int]:
        """How long each agent may say nothing before it counts as away."""
        shortest: dict[tuple[str, str], float] = {}
        for site in self.sites.values():
            for placed in site.placed():
                key = site.site, placed.agent
                shortest[key] = min(placed.profile.max_silence_s, shortest.get(key, 86_400.0))
        return {key: int(silence_s * 1000 * AWAY_FACTOR) for key, silence_s in shortest.items()}


def load_plant(gateway: GatewaySettings, only_site: str | None = None) -> Plant:
    """Read site files and ledger. Raises ConfigError; RetryLater for a ledger that cannot be read."""
    library = ProfileLibrary(gateway.profiles)
    sites = {site.site: site for site in (load_site(path, library) for path in gateway.sites)}
    if only_site is not None and only_site not in sites:
        raise ConfigError(f"--site: got {only_site!r}, want one of {', '.join(sites)}.")
    sites = {name: site for name, site in sites.items() if only_site in (None, name)}
    file = gateway.data_dir / FILE
    if not file.is_file():
        return Plant(sites, library, [], [], [], [], [], None)
    with LedgerReader(file) as ledger:
        approved = [d for d in ledger.approved_devices() if d.site in sites and d.profile in library]
        values = [value for value in ledger.last_values() if value.point.partition("/")[0] in sites]
        return Plant(
            sites,
            library,
            approved,
            [value.point for value in values],
            list(_acknowledged(ledger)),
            sorted((row for row in ledger.work(limit=1_000_000) if row.site in sites), key=lambda row: row.at_ms),
            [gap for gap in ledger.gaps() if gap.site in sites],
            max((value.observed_ms for value in values), default=None),
        )


def _acknowledged(ledger: LedgerReader) -> Iterable[Acknowledged]:
    done = [row for row in ledger.transitions() if row.event == "acknowledge"]
    for row in done:
        alarm = ledger.alarm(row.alarm_id)
        if alarm is not None:
            yield Acknowledged(row.event_ms, alarm.rule, alarm.subject)


async def read_blocks(
    history: History, sources: list[Source], from_ms: int, until_ms: int, block_ms: int = BLOCK_MS
) -> AsyncIterator[tuple[int, list[Item]]]:
    """The readings of all sources, block by block: (end of the block, its readings in order of time).

    Raises:
        RetryLater: the store is away.
    """
    for start_ms in range(from_ms, until_ms, block_ms):
        end_ms = min(start_ms + block_ms, until_ms)
        parts = [
            (number, await _read(history, number, source, start_ms, end_ms)) for number, source in enumerate(sources)
        ]
        yield end_ms, merge_series(parts)


async def _read(history: History, number: int, source: Source, from_ms: int, to_ms: int) -> list[Item]:
    items: list[Item] = []
    while True:
        samples = await history.raw(source.site, source.point, from_ms, to_ms, MAX_RAW)
        items += [(at_ms, number, Reading(source.point, at_ms, value, quality)) for at_ms, value, quality in samples]
        if len(samples) < MAX_RAW:
            return items
        from_ms = samples[-1].observed_ms + 1


async def run_replays(
    gateway: GatewaySettings,
    stored: HistorySettings,
    plant: Plant,
    replays: list[Replay],
    span: tuple[int, int],
    told: Callable[[int, int], None],
    block_ms: int = BLOCK_MS,
) -> int:
    """Feed the history of that span to every replay. Gives the number of readings.

    Args:
        told: called with (time reached, readings so far) now and then.
    """
    readings = 0
    acknowledged = [each for each in plant.acknowledged if span[0] <= each.at_ms < span[1]]
    done: list[Acknowledged | Dated] = [*acknowledged, *plant.dates(*span)]
    done.sort(key=lambda each: each.at_ms)
    history = open_history(stored, gateway.data_dir, read_only=True)
    async with history:
        async for end_ms, items in read_blocks(history, plant.sources(), *span, block_ms):
            for replay in replays:
                _feed(replay, items, [each for each in done if each.at_ms < end_ms])
            done = [each for each in done if each.at_ms >= end_ms]
            readings += len(items)
            told(end_ms, readings)
    return readings


def _feed(replay: Replay, items: list[Item], done: list[Acknowledged | Dated]) -> None:
    """One block, with what people did in that time at its moments."""
    at = 0
    for each in done:
        to = next((n for n in range(at, len(items)) if items[n][0] >= each.at_ms), len(items))
        replay.feed(items[at:to])
        if isinstance(each, Acknowledged):
            replay.acknowledge(each)
        else:
            replay.set_dates(each)
        at = to
    replay.feed(items[at:])
