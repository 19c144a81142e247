"""What both InfluxDB back ends share: what an answer means, splitting a refused write, reading through InfluxQL."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from contract.errors import ConfigError, RetryLater
from contract.topics import is_ident
from gateway.history.base import Bucket, Refused, Row, Sample, split_point
from gateway.history.line_protocol import MEASUREMENT

CHUNK = 5000
"""Rows in one request; what the vendor advises."""
_MAX_MS = 9_223_372_036_853
"""Influx counts nanoseconds in 64 bits: 2262-04-11."""
_DROPPED = re.compile(r"dropped=(\d+)")


class Refusal(Exception):
    """The server takes these rows at no time. `dropped`: how many of them, where it said so; the rest are kept."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        said = _DROPPED.search(text)
        self.dropped = int(said[1]) if said else None


async def write_split(rows: Sequence[Row], send: Callable[[Sequence[Row]], Awaitable[None]], refused: Refused) -> None:
    """Send all rows, halving what is refused until the bad ones stand alone and go to `refused`.

    Raises:
        RetryLater: from `send`.
    """
    waiting = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)][::-1]
    while waiting:
        part = waiting.pop()
        try:
            await send(part)
        except Refusal as exc:
            if len(part) == 1 or exc.dropped == len(part):
                refused(part, str(exc))
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]


def judge(status: int, text: str, what: str) -> None:
    """Nothing for an answer of success.

    Raises:
        Refusal: 400, 413, 422: the rows are at fault. RetryLater: everything else, sign-in included, because a person
            can mend that while the rows wait.
    """
    if 200 <= status < 300:
        return
    text = " ".join(text.split())[:300]
    if status in (400, 413, 422):
        raise Refusal(text or f"HTTP {status}")
    todo = "Check user and password or token in the history settings." if status in (401, 403) else "It is tried again."
    raise RetryLater(f"{what}: got HTTP {status} {text}. {todo}")


def say(exc: Exception) -> str:
    """The error's text; its type where it has none, as with timeouts."""
    return str(exc) or type(exc).__name__


def make_client(url: str, timeout_s: float, ca_file: Path | None, **options: Any) -> httpx.AsyncClient:
    """An HTTP client for one server. Raises ConfigError for a CA file that cannot be used."""
    verify: ssl.SSLContext | bool = url.startswith("https")
    if ca_file is not None:
        try:
            verify = ssl.create_default_context(cafile=str(ca_file))
        except OSError as exc:
            raise ConfigError(f"{ca_file}: {exc}. history.ca_file must be a PEM certificate.") from exc
    # It would log each request at INFO; normal running is silent above DEBUG.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # The store stands beside the gateway; a proxy meant for browsers must not see its traffic.
    return httpx.AsyncClient(
        base_url=url.rstrip("/"), timeout=timeout_s, verify=verify, trust_env=False, follow_redirects=False, **options
    )


class InfluxQL:
    """Reads through `/query`, the one dialect that InfluxDB 1.x, 2.x and 3.x share."""

    def __init__(self, client: httpx.AsyncClient, database: str, retention_policy: str | None = None) -> None:
        self._client = client
        self._params = {"db": database, "epoch": "ms"} | ({"rp": retention_policy} if retention_policy else {})

    async def query(self, text: str, *, post: bool = False) -> list[dict[str, Any]]:
        """Series of one statement; `post` for statements that change something. Raises RetryLater."""
        what = str(self._client.base_url.copy_with(path="/query"))
        params = {**self._params, "q": text}
        try:
            answer = await self._client.request("POST" if post else "GET", "/query", params=params)
            judge(answer.status_code, answer.text, what)
            with self._no_influxql():
                result = answer.json()["results"][0]
        except Refusal as exc:
            raise RetryLater(f"{what}: {exc}. It is tried again.") from exc
        except httpx.HTTPError as exc:
            raise RetryLater(f"{what}: {say(exc)}. Check that the server runs.") from exc
        if "error" in result:
            raise RetryLater(f"{what}: {result['error']}. It is tried again.")
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    async def buckets(self, site: str, point: str, from_ms: int, to_ms: int, bucket_ms: int) -> list[Bucket]:
        """As `History.read`. Raises RetryLater."""
        where = _where(site, point, from_ms, to_ms)
        if where is None:
            return []
        wanted = ", ".join(f'{name}("value")' for name in ("min", "mean", "max", "count"))
        text = f'SELECT {wanted} FROM "{MEASUREMENT}" {where}'  # noqa: S608 # _where checks every name
        series = await self.query(f"{text} GROUP BY time({bucket_ms}ms) fill(none)")
        with self._no_influxql():
            return [
                Bucket(start, float(low), float(mean), float(high), int(count))
                for each in series
                for start, low, mean, high, count in each["values"]
                # Some servers answer an empty bucket with a count of zero in spite of fill(none).
                if count
            ]

    async def samples(self, site: str, point: str, from_ms: int, to_ms: int, limit: int) -> list[Sample]:
        """As `History.raw`. Raises RetryLater."""
        where = _where(site, point, from_ms, to_ms)
        if where is None:
            return []
        wanted = '"value", "truth", "text", "quality"'
        text = f'SELECT {wanted} FROM "{MEASUREMENT}" {where}'  # noqa: S608 # _where checks every name
        series = await self.query(f"{text} ORDER BY time ASC LIMIT {limit}")
        with self._no_influxql():
            return [
                Sample(
                    observed_ms, float(number) if number is not None else truth if truth is not None else text, quality
                )
                for each in series
                for observed_ms, number, truth, text, quality in each["values"]
            ]

    @contextmanager
    def _no_influxql(self) -> Iterator[None]:
        """Turns an answer of another shape, as of a server that only takes writes, into RetryLater."""
        try:
            yield
        except (ValueError, TypeError, LookupError) as exc:
            where = self._client.base_url.copy_with(path="/query")
            raise RetryLater(f"{where}: got no InfluxQL answer ({exc}). Read with the server's own tools.") from exc


def _where(site: str, point: str, from_ms: int, to_ms: int) -> str | None:
    """The condition of a point and a range; None when nothing can fit. Names are checked, so nothing needs quoting."""
    names = split_point(point)
    from_ms, to_ms = max(from_ms, 0), min(to_ms, _MAX_MS)
    if names is None or not is_ident(site) or from_ms >= to_ms:
        return None
    return (
        f"WHERE \"site\" = '{site}' AND \"device\" = '{names[0]}' AND \"point\" = '{names[1]}' "
        f"AND time >= {from_ms}ms AND time < {to_ms}ms"
    )
