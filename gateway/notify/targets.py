"""The ways out of the machine. Each sends one message and says how far it came, or raises NotSent.

What goes out goes to the address that was checked: names are resolved once, every address is looked at, and the
connection is made to that address. Redirects are not followed. Errors never carry an address or a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import logging
import re
import socket
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import msgspec
from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

from contract.errors import WeizhanError
from gateway.notify.check import wrong_service
from gateway.notify.outbox import Notice
from gateway.notify.settings import AppriseChannel, Language, NotifySettings, WebhookChannel, read_secret

STUCK = 4
"""Calls of a service that may hang at once; further messages wait for one of them to end."""
ANSWER_BYTES = 4096
"""More of an answer is not read."""
TIMESTAMP, SIGNATURE, NUMBER = "X-Weizhan-Timestamp", "X-Weizhan-Signature", "X-Weizhan-Notice"
_TYPES = {"fire": NotifyType.FAILURE, "critical": NotifyType.FAILURE, "warning": NotifyType.WARNING}
_encode = msgspec.json.Encoder().encode


class NotSent(WeizhanError):
    """The message did not go out; the text says why and carries no secret. Try again later."""


class Outcome(NamedTuple):
    """How far a message came that was taken."""

    delivered: bool = False
    read: bool = False


class Letter(NamedTuple):
    """A message with its receipt. receipt: token; receipt_url: link for people, where the pages can be reached."""

    notice: Notice
    at_ms: int
    receipt: str
    receipt_url: str | None


class Target(Protocol):
    """A way to one person."""

    async def send(self, letter: Letter) -> Outcome: ...


# --- addresses -------------------------------------------------------------------------------------------------------


def refused_address(text: str, *, private: bool) -> str | None:
    """Why nothing may be sent to an address; None when it may. IPv4 inside IPv6 is judged as IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or _nat64(address) or address
    odd = address.is_reserved and not address.is_loopback  # ::1 counts as both
    if address.is_link_local or address.is_multicast or address.is_unspecified or odd:
        return "link-local, multicast or reserved"
    if not private and not address.is_global:
        return "of a private network; notify.private_addresses allows it"
    return None


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


async def checked_address(host: str, port: int, *, private: bool) -> str:
    """An address of a host to which may be sent. Raises NotSent when it has none, or one that may not."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise NotSent(f"the name of the server cannot be resolved ({type(exc).__name__})") from exc
    addresses = [str(row[4][0]) for row in found]
    for address in addresses:
        if (why := refused_address(address, private=private)) is not None:
            raise NotSent(f"the server's address is {why}")
    if not addresses:
        raise NotSent("the name of the server has no address")
    return addresses[0]


# --- webhook ---------------------------------------------------------------------------------------------------------


class WebhookTarget:
    """Signed JSON to a web address. Raises ConfigError when the secret cannot be read."""

    def __init__(self, channel: WebhookChannel, settings: NotifySettings, language: Language) -> None:
        self._url = urlsplit(channel.url)
        self._secret = read_secret(channel.secret_file)
        self._private = settings.private_addresses
        self._timeout_s = settings.timeout_s
        self._language = language
        # Made once: reading the authorities takes longer than a message.
        self._tls = httpx.create_ssl_context(trust_env=False)

    async def send(self, letter: Letter) -> Outcome:
        """Post it; 2xx means taken, a receipt in the answer says delivered or read."""
        url = self._url
        host, port = str(url.hostname), url.port or (443 if url.scheme == "https" else 80)
        local = url.scheme == "http"  # the settings allow http to this machine only
        address = await checked_address(host, port, private=self._private or local)
        if local and not ipaddress.ip_address(address).is_loopback:
            raise NotSent("the server's address is not of this machine, and http is for this machine only")
        body = _encode(payload(letter, self._language))
        headers = {
            "Host": host if url.port is None else f"{host}:{port}",
            "Content-Type": "application/json",
            NUMBER: str(letter.notice.id),
            TIMESTAMP: str(letter.at_ms),
            SIGNATURE: sign(self._secret, letter.at_ms, body),
        }
        literal = f"[{address}]" if ":" in address else address
        target = f"{url.scheme}://{literal}:{port}{url.path or '/'}"
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx.AsyncClient(
                    trust_env=False, follow_redirects=False, timeout=self._timeout_s, verify=self._tls
                ) as client,
            ):
                request = client.build_request(
                    "POST", target, content=body, headers=headers, extensions={"sni_hostname": host}
                )
                answer = await client.send(request, stream=True)
                try:
                    return await _outcome(answer, letter)
                finally:
                    await answer.aclose()
        except TimeoutError as exc:
            raise NotSent(f"no answer within {self._timeout_s:g} s") from exc
        except httpx.HTTPError as exc:
            raise NotSent(f"no connection ({type(exc).__name__})") from exc


async def _outcome(answer: httpx.Response, letter: Letter) -> Outcome:
    if answer.is_redirect:
        raise NotSent(f"got {answer.status_code}, a redirect, which is not followed")
    if not answer.is_success:
        raise NotSent(f"got {answer.status_code}, want 2xx")
    text = b""
    async for chunk in answer.aiter_bytes():
        text += chunk
        if len(text) > ANSWER_BYTES:
            return Outcome()  # taken; whatever it is, it is no receipt
    with contextlib.suppress(msgspec.MsgspecError):
        said = msgspec.json.decode(text, type=_Receipt)
        if hmac.compare_digest(said.receipt.encode(), letter.receipt.encode()):
            return Outcome(delivered=True, read=said.state == "read")
    return Outcome()


class _Receipt(msgspec.Struct):
    receipt: str
    state: Literal["delivered", "read"] = "delivered"


def sign(secret: str, at_ms: int, body: bytes) -> str:
    """`v1=` and the hex HMAC-SHA256 over timestamp, a dot and the body."""
    return "v1=" + hmac.new(secret.encode(), f"{at_ms}.".encode() + body, hashlib.sha256).hexdigest()


def payload(letter: Letter, language: Language) -> dict[str, object]:
    """What a webhook gets."""
    notice, message = letter.notice, letter.notice.message
    return {
        "id": notice.id, "at_ms": letter.at_ms, "due_ms": notice.due_ms, "kind": notice.kind,
        "test": notice.kind in ("test", "proof"), "severity": notice.severity, "person": notice.person,
        "language": language, "alarms": notice.alarms, "title_zh": message.title_zh, "title_en": message.title_en,
        "text_zh": message.text_zh, "text_en": message.text_en, "receipt": letter.receipt,
        "receipt_url": letter.receipt_url,
    }  # fmt: skip


# --- apprise ---------------------------------------------------------------------------------------------------------


class AppriseTarget:
    """A service by way of apprise, in a thread of its own for each call, so that one that hangs stops nobody else.

    Raises ConfigError when the address cannot be read, NotSent from `send` when it is none.
    """

    def __init__(self, channel: AppriseChannel, settings: NotifySettings, language: Language) -> None:
        self._url = read_secret(channel.url_file)
        self._hidden = sorted(secret_parts(self._url), key=len, reverse=True)
        self._settings = settings
        self._language = language
        self._calls = 0

    async def send(self, letter: Letter) -> Outcome:
        """Hand it to the service; the service's word that it was taken is all there is."""
        if (why := wrong_service(self._url, self._settings.schemes)) is not None:
            raise NotSent(why)
        if self._calls >= STUCK:
            raise NotSent(f"{self._calls} earlier messages still hang in the service")
        for host in hosts_of(self._url):
            await self._check_host(host)
        message, zh = letter.notice.message, self._language == "zh"
        body = message.text_zh if zh else message.text_en
        if letter.receipt_url is not None:
            body += f"\n{'收到请点' if zh else 'Confirm'}: {letter.receipt_url}"
        title = message.title_zh if zh else message.title_en
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                fault = await self._in_thread(title, body, _TYPES.get(letter.notice.severity, NotifyType.INFO))
        except TimeoutError as exc:
            raise NotSent(f"no answer within {self._settings.timeout_s:g} s") from exc
        if fault is not None:
            raise NotSent(redact(fault, self._hidden)[:200])
        return Outcome()

    async def _check_host(self, host: str) -> None:
        try:
            await checked_address(host, 443, private=self._settings.private_addresses)
        except NotSent as exc:
            if "resolved" not in str(exc):
                raise

    def _in_thread(self, title: str, body: str, kind: NotifyType) -> asyncio.Future[str | None]:
        """Why the service did not take it, None when it did; the thread may outlive the caller's patience."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str | None] = loop.create_future()
        self._calls += 1

        def done(fault: str | None) -> None:
            self._calls -= 1
            if not future.done():
                future.set_result(fault)

        def work() -> None:
            fault = self._call(title, body, kind)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done, fault)

        # Daemon: a service that never answers must not hold up the end of the process.
        threading.Thread(target=work, name="notify-apprise", daemon=True).start()
        return future

    def _call(self, title: str, body: str, kind: NotifyType) -> str | None:
        with _captured() as said:
            try:
                service = Apprise.instantiate(self._url, asset=_asset())
                if service is None:
                    return "the address does not fit the service's form"
                if service.notify(title=title, body=body, notify_type=kind, body_format=NotifyFormat.TEXT):
                    return None
            except Exception as exc:  # noqa: BLE001 # a plug-in may raise anything; its thread is its supervisor
                return f"{type(exc).__name__} in the service's plug-in"
        return said[-1] if said else "the service did not take it"


class _Lines(logging.Handler):
    """Keeps what one thread logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage()[:300])


@contextlib.contextmanager
def _captured() -> Iterator[list[str]]:
    handler = _Lines()
    logger = logging.getLogger("apprise")
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)


def _asset() -> AppriseAsset:
    return AppriseAsset(
        app_id="Weizhan", app_desc="Weizhan", http_redirects=False, storage_mode="memory", pgp_autogen=False,
        pem_autogen=False, async_mode=False, service_timeout=0, language="en", timezone="UTC",
    )  # fmt: skip


def prepare_apprise() -> None:
    """Load apprise's plug-ins (a second or two), so that no first fire waits for it. Blocks; call in a thread.

    Its own log is kept out of ours: it may hold addresses, and we say once that a way fails.
    """
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries the plug-ins import
        Apprise.instantiate("json://localhost", asset=_asset())


def hosts_of(url: str) -> Iterator[str]:
    """The hosts of one's own that an address names. A service with a fixed address has a token in that place, which
    must not be looked up."""
    try:
        parts = urlsplit(url)
        named = [parts.hostname or "", *parse_qs(parts.query).get("smtp", [])]
    except ValueError:
        return
    for host in named:
        if "." in host or ":" in host or host == "localhost" or re.fullmatch(r"0x[0-9a-f]{1,8}|\d{1,10}", host):
            yield host


def secret_parts(url: str) -> Iterable[str]:
    """Every part of an address that may be a secret: all but its scheme and plain short words."""
    rest = url.partition("://")[2]
    return {part for piece in re.split(r"[/?&=:@,+]", rest) for part in (piece, unquote(piece)) if len(part) >= 5}


def redact(text: str, hidden: Iterable[str]) -> str:
    """The text without any of the hidden parts."""
    for part in hidden:
        text = text.replace(part, "***")
    return text
