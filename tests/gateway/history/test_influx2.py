"""The InfluxDB 2.x back end: writes into a real VictoriaMetrics, the database mapping against a small 2.x stand-in."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contract.errors import RetryLater
from gateway.history import open_history
from gateway.history.base import Bucket, Row
from gateway.history.influx2 import Influx2History
from gateway.history.settings import Influx2Settings
from tests.gateway.history.samples import DAY, T0, none_refused, row
from tests.parts.victoria_metrics import VictoriaMetrics

TOKEN = "secret token"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


def opened(url: str, token_file: Path, **more: object) -> Influx2History:
    chosen = {"kind": "influx2", "url": url, "org": "station", "token_file": token_file, **more}
    history = open_history(Influx2Settings.model_validate(chosen), Path("unused"))
    assert isinstance(history, Influx2History)
    return history


async def test_numbers_arrive_in_victoria_metrics(victoria_metrics: VictoriaMetrics, token_file: Path) -> None:
    """What influxdb-client writes is there, number for number; twice is as once; reading it says it cannot."""
    rows = [row(T0 + n * 1000, n / 4, device="vm-1") for n in range(6000)] + [row(T0, "text", device="vm-2")]
    async with opened(victoria_metrics.url, token_file) as history:
        await history.write(rows, none_refused)
        await history.write(rows[:10], none_refused)
        assert (await history.status()).reachable
        with pytest.raises(RetryLater, match="got no InfluxQL answer"):
            await history.read("shuiye", "vm-1/pressure_kpa", T0, T0 + DAY, DAY)
    series = victoria_metrics.export('reading_value{device="vm-1"}')
    stored = {t: v for each in series for t, v in zip(each["timestamps"], each["values"], strict=True)}
    assert stored == {T0 + n * 1000: n / 4 for n in range(6000)}
    labels = {key: series[0]["metric"][key] for key in ("site", "device", "point")}
    assert labels == {"site": "shuiye", "device": "vm-1", "point": "pressure_kpa"}


async def test_retry_later_when_the_server_is_killed_or_hangs_and_nothing_is_lost(token_file: Path) -> None:
    """A write that was not answered is written again and then there once."""
    with VictoriaMetrics() as part:
        async with opened(part.url, token_file, timeout_s=0.5) as history:
            part.suspend()
            with pytest.raises(RetryLater, match="Check that the server runs"):
                await history.write([row(T0, 1.0)], none_refused)
            part.resume()
            await history.write([row(T0, 1.0)], none_refused)
            part.kill()
            with pytest.raises(RetryLater, match="Check that the server runs"):
                await history.write([row(T0 + 1000, 2.0)], none_refused)
            part.start()
            await history.write([row(T0 + 1000, 2.0)], none_refused)
        assert part.export("reading_value")[0]["values"][-1] == 2.0


class Stand:
    """A stand-in for the few 2.x calls the back end makes, as the vendor's API reference describes them."""

    def __init__(self) -> None:
        self.mappings: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str]] = []
        self.lines: list[str] = []
        self.write_status = 204
        self.bad = "no such line"
        self.has_mappings = True
        self.tokens: set[str | None] = set()

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        self.calls.append((method, path))
        match method, path:
            case "POST", "/api/v2/write":
                assert (query["bucket"], query["org"], query["precision"]) == ("weizhan", "station", "ms")
                lines = body.decode().split("\n")
                if self.write_status != 204 or any(self.bad in line for line in lines):
                    return (self.write_status if self.write_status != 204 else 400), {"code": "x", "message": "no"}
                self.lines += lines
                return 204, None
            case "GET", "/api/v2/dbrps" if self.has_mappings:
                return 200, {"content": [each for each in self.mappings if each["database"] == query["db"]]}
            case "POST", "/api/v2/dbrps":
                self.mappings.append(json.loads(body))
                return 201, self.mappings[-1]
            case "GET", "/api/v2/buckets":
                return 200, {"buckets": [{"id": "b1", "orgID": "o1", "name": query["name"]}]}
            case "GET", "/query":
                if self.has_mappings and not self.mappings:
                    return 200, {"results": [{"error": "database not found: weizhan"}]}
                return 200, {"results": [{"series": [{"name": "reading", "values": [[0, 1, 2, 3, 4]]}]}]}
        return 404, {}


@pytest.fixture
def stand() -> Iterator[tuple[Stand, str]]:
    state = Stand()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.tokens.add(self.headers.get("Authorization"))
            status, content = state.answer(self.command, url.path, dict(urllib.parse.parse_qsl(url.query)), body)
            data = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = handle_any  # noqa: N815 # names http.server wants

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield state, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_mapping_is_made_when_the_bucket_has_none(stand: tuple[Stand, str], token_file: Path) -> None:
    """A 2.x bucket answers InfluxQL only through a mapping: made once, as the default, and found at the next start."""
    state, url = stand
    async with opened(url, token_file) as history:
        got = await history.read("shuiye", "hydrant-1/pressure_kpa", T0, T0 + DAY, DAY)
        assert got == [Bucket(0, 1.0, 2.0, 3.0, 4)]
        await history.write([row(T0, 1.0)], none_refused)
    async with opened(url, token_file) as history:
        await history.write([row(T0, 1.0)], none_refused)
    assert state.mappings == [
        {"bucketID": "b1", "orgID": "o1", "database": "weizhan", "retention_policy": "autogen", "default": True}
    ]
    assert state.lines == [f'reading,device=hydrant-1,point=pressure_kpa,site=shuiye value=1.0,quality="good" {T0}'] * 2
    assert state.tokens == {f"Token {TOKEN}"}


async def test_reads_go_on_when_the_server_knows_no_mappings(stand: tuple[Stand, str], token_file: Path) -> None:
    """InfluxDB 3 takes the bucket's name as database at once."""
    state, url = stand
    state.has_mappings = False
    async with opened(url, token_file) as history:
        assert len(await history.read("shuiye", "hydrant-1/pressure_kpa", T0, T0 + DAY, DAY)) == 1
        assert len(await history.read("shuiye", "hydrant-1/pressure_kpa", T0, T0 + DAY, DAY)) == 1
    assert state.calls == [("GET", "/api/v2/dbrps"), ("GET", "/query"), ("GET", "/query")]


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
async def test_retry_later_when_the_server_answers_with_an_error(
    stand: tuple[Stand, str], token_file: Path, status: int
) -> None:
    """A wrong token, an absent bucket, too many requests and server faults keep the rows waiting."""
    state, url = stand
    state.write_status = status
    async with opened(url, token_file) as history:
        with pytest.raises(RetryLater, match=f"got HTTP {status}"):
            await history.write([row(T0, 1.0)], none_refused)


async def test_bad_rows_are_split_off_when_the_server_refuses_a_batch(
    stand: tuple[Stand, str], token_file: Path
) -> None:
    """One row the server does not take is found and handed back; the 99 others arrive."""
    state, url = stand
    state.bad = f" {T0 + 42}"
    refused: list[tuple[Sequence[Row], str]] = []
    async with opened(url, token_file) as history:
        await history.write([row(T0 + n, float(n)) for n in range(100)], lambda *each: refused.append(each))
    assert [rows for rows, _ in refused] == [[row(T0 + 42, 42.0)]]
    assert len(state.lines) == 99
