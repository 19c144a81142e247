"""The history in InfluxDB 2.x or 3.x: writes through influxdb-client, reads through InfluxQL on the same server.

Each write is one synchronous request from a thread of ours; the client's own batching mode answers before the server
has, and loses what it holds when the process ends. In 2.x a bucket answers InfluxQL once it has a database mapping,
which is looked for and made where the server knows mappings.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import urllib3.exceptions
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS, WriteApi
from influxdb_client.rest import ApiException

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
from gateway.history.remote import InfluxQL, Refusal, judge, make_client, say, write_split
from gateway.history.settings import Influx2Settings

log = logging.getLogger(__name__)
_MS: Any = "ms"
"""Typed as a class there, yet its members are plain text."""


class Influx2History(History):
    """History in a bucket that exists; read_only makes nothing on the server."""

    def __init__(self, settings: Influx2Settings, *, read_only: bool = False) -> None:
        self._settings = settings
        self._client: httpx.AsyncClient | None = None
        self._writer: InfluxDBClient | None = None
        self._api: WriteApi | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._mapped = read_only

    async def open(self) -> None:
        s = self._settings
        token = s.token()
        headers = {"Authorization": f"Token {token}"} if token else {}
        self._client = make_client(s.url, s.timeout_s, s.ca_file, headers=headers)
        self._writer = InfluxDBClient(
            url=s.url.rstrip("/"),
            token=token or "",
            org=s.org,
            timeout=int(s.timeout_s * 1000),
            ssl_ca_cert=str(s.ca_file) if s.ca_file else None,
            retries=False,
        )
        self._api = self._writer.write_api(write_options=SYNCHRONOUS)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="history")

    async def close(self) -> None:
        client, pool, writer, api = self._client, self._pool, self._writer, self._api
        self._client = self._pool = self._writer = self._api = None
        if client is not None:
            await client.aclose()
        if pool is not None and api is not None and writer is not None:
            # After a request that is still running, which its timeout bounds.
            await asyncio.get_running_loop().run_in_executor(pool, _close, api, writer)
            pool.shutdown(wait=True)

    async def write(self, rows: Sequence[Row], refused: Refused) -> None:
        fine = sift(rows, refused)
        if not fine:
            return
        await write_split(fine, self._send, refused)
        # Only reads need the mapping, so a server that cannot make it now does not hold up what was written.
        with suppress(RetryLater):
            await self._map()

    async def read(self, site: str, point: str, from_ms: int, to_ms: int, bucket_ms: int) -> list[Bucket]:
        check_read(from_ms, to_ms, bucket_ms)
        await self._map()
        return await InfluxQL(self._opened(), self._settings.bucket).buckets(site, point, from_ms, to_ms, bucket_ms)

    async def raw(self, site: str, point: str, from_ms: int, to_ms: int, limit: int) -> list[Sample]:
        check_raw(limit)
        await self._map()
        return await InfluxQL(self._opened(), self._settings.bucket).samples(site, point, from_ms, to_ms, limit)

    async def prune(self, before_ms: int) -> int:  # noqa: ARG002 # the bucket's own retention does it
        return 0

    async def status(self) -> HistoryStatus:
        try:
            answer = await self._opened().get("/ping")
        except RetryLater as exc:
            return HistoryStatus("influx2", False, str(exc))
        except httpx.HTTPError as exc:
            return HistoryStatus("influx2", False, f"{self._settings.url}: {say(exc)}")
        version = answer.headers.get("X-Influxdb-Version", "?")
        return HistoryStatus("influx2", answer.is_success, f"{self._settings.url}: version {version}")

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RetryLater("history: got a request before open or after close. Open it first.")
        return self._client

    async def _send(self, rows: Sequence[Row]) -> None:
        self._opened()
        body = "\n".join(map(encode, rows)).encode()
        status, text = await asyncio.get_running_loop().run_in_executor(self._pool, self._post, body)
        judge(status, text, f"{self._settings.url}/api/v2/write")

    def _post(self, body: bytes) -> tuple[int, str]:
        """One request, in the thread: the answer's status and text. Raises RetryLater."""
        s = self._settings
        assert self._api is not None
        try:
            self._api.write(bucket=s.bucket, org=s.org, record=body, write_precision=_MS)
        except ApiException as exc:
            return exc.status or 0, str(exc.body or exc.reason or "")
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise RetryLater(f"{s.url}: {exc}. Check that the server runs.") from exc
        return 204, ""

    async def _map(self) -> None:
        """Make the bucket answer InfluxQL. Servers without mappings (3.x, others) need none. Raises RetryLater."""
        if self._mapped:
            return
        s, client = self._settings, self._opened()
        where = f"{s.url}/api/v2/dbrps"
        try:
            answer = await client.get("/api/v2/dbrps", params={"org": s.org, "db": s.bucket})
            if answer.status_code in (400, 404, 405, 501):
                self._mapped = True
                return
            judge(answer.status_code, answer.text, where)
            if not answer.json().get("content"):
                found = await client.get("/api/v2/buckets", params={"org": s.org, "name": s.bucket})
                judge(found.status_code, found.text, f"{s.url}/api/v2/buckets")
                bucket = found.json()["buckets"][0]
                mapping = {
                    "bucketID": bucket["id"],
                    "orgID": bucket["orgID"],
                    "database": s.bucket,
                    "retention_policy": "autogen",
                    "default": True,
                }
                made = await client.post("/api/v2/dbrps", json=mapping)
                judge(made.status_code, made.text, where)
                log.debug("database mapping for bucket %s made", s.bucket)
        except (httpx.HTTPError, Refusal) as exc:
            raise RetryLater(f"{where}: {say(exc)}. It is tried again.") from exc
        except (ValueError, LookupError) as exc:
            raise RetryLater(f"{where}: bucket {s.bucket!r} not found ({exc}). Make the bucket.") from exc
        self._mapped = True


def _close(api: Any, writer: Any) -> None:
    # Any: the client's own close functions are not typed.
    api.close()
    writer.close()
