"""The history in InfluxDB 1.x: `/write` with line protocol, `/query` with InfluxQL.

The server overwrites a row of the same series and time field by field, so writing again changes nothing. It keeps the
retention itself: the policy's duration is `keep_days`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import httpx

from contract.errors import RetryLater
from gateway.history.base import (
    Bucket,
    History,
    HistoryStatus,
    Refused,
    Row,
    Sample,
    check_raw,
    check_read,
    sift,
)
from gateway.history.line_protocol import encode
from gateway.history.remote import InfluxQL, judge, make_client, say, write_split
from gateway.history.settings import Influx1Settings

_HOURS = re.compile(r"^(\d+)h0m0s$")


class Influx1History(History):
    """History in a database of InfluxDB 1.x; read_only makes nothing on the server."""

    def __init__(self, settings: Influx1Settings, *, read_only: bool = False) -> None:
        self._settings = settings
        self._read_only = read_only
        self._client: httpx.AsyncClient | None = None
        self._prepared = read_only

    async def open(self) -> None:
        s = self._settings
        auth = httpx.BasicAuth(s.username, s.password() or "") if s.username else None
        self._client = make_client(s.url, s.timeout_s, s.ca_file, auth=auth)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def write(self, rows: Sequence[Row], refused: Refused) -> None:
        fine = sift(rows, refused)
        if not fine:
            return
        await self._prepare()
        await write_split(fine, self._send, refused)

    async def read(self, site: str, point: str, from_ms: int, to_ms: int, bucket_ms: int) -> list[Bucket]:
        check_read(from_ms, to_ms, bucket_ms)
        await self._prepare()
        return await self._influxql().buckets(site, point, from_ms, to_ms, bucket_ms)

    async def raw(self, site: str, point: str, from_ms: int, to_ms: int, limit: int) -> list[Sample]:
        check_raw(limit)
        await self._prepare()
        return await self._influxql().samples(site, point, from_ms, to_ms, limit)

    async def prune(self, before_ms: int) -> int:  # noqa: ARG002 # the server's retention policy does it
        return 0

    async def status(self) -> HistoryStatus:
        try:
            answer = await self._opened().get("/ping")
        except RetryLater as exc:
            return HistoryStatus("influx1", False, str(exc))
        except httpx.HTTPError as exc:
            return HistoryStatus("influx1", False, f"{self._settings.url}: {say(exc)}")
        version = answer.headers.get("X-Influxdb-Version", "?")
        return HistoryStatus("influx1", answer.is_success, f"{self._settings.url}: InfluxDB {version}")

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RetryLater("history: got a request before open or after close. Open it first.")
        return self._client

    def _influxql(self) -> InfluxQL:
        return InfluxQL(self._opened(), self._settings.database, self._settings.retention_policy)

    async def _prepare(self) -> None:
        """Make database and retention policy where they are absent. Raises RetryLater."""
        if self._prepared:
            return
        s, ask = self._settings, self._influxql().query
        await ask(f'CREATE DATABASE "{s.database}"', post=True)
        found = await ask(f'SHOW RETENTION POLICIES ON "{s.database}"')
        policies = {row[0]: row[1] for each in found for row in each.get("values", [])}
        terms = f'RETENTION POLICY "{s.retention_policy}" ON "{s.database}" DURATION {s.keep_days}d'
        if s.retention_policy not in policies:
            await ask(f"CREATE {terms} REPLICATION 1", post=True)
        else:
            hours = _HOURS.match(policies[s.retention_policy])
            if hours is None or int(hours[1]) != s.keep_days * 24:
                await ask(f"ALTER {terms}", post=True)
        self._prepared = True

    async def _send(self, rows: Sequence[Row]) -> None:
        s = self._settings
        body = "\n".join(map(encode, rows)).encode()
        params = {"db": s.database, "rp": s.retention_policy, "precision": "ms"}
        try:
            answer = await self._opened().post("/write", params=params, content=body)
        except httpx.HTTPError as exc:
            raise RetryLater(f"{s.url}: {say(exc)}. Check that InfluxDB runs.") from exc
        if answer.status_code == 404:
            # Somebody dropped the database; it is made again at the next try.
            self._prepared = self._read_only
        judge(answer.status_code, answer.text, f"{s.url}/write")
