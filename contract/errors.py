"""The error tree. The type tells the caller what to do.

WeizhanError
├── ConfigError      a file or setting is wrong: stop, show the text, keep what was running
├── MessageError     this one message is unusable: keep it for inspection, go on
├── DeviceError      the equipment or its line did not answer properly: mark its points, poll again
├── RetryLater       a broker, store or peer is away: keep the work, try again after a pause
└── StartError       this process cannot run here (port in use, folder locked): stop with the text
"""

from __future__ import annotations


class WeizhanError(Exception):
    """Base of every error this product raises on purpose."""


class ConfigError(WeizhanError):
    """Wrong configuration. The text holds one `file:line: key: got X, want Y. What to do.` a problem."""


class MessageError(WeizhanError):
    """An unusable message. `reason` is a stable word to count by; the text is for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class DeviceError(WeizhanError):
    """A device did not give a usable answer. `cause` is a stable word (`no_answer`, `bad_crc`, ...)."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail


class RetryLater(WeizhanError):
    """Something we depend on is away. Nothing is lost; try again after a pause."""


class StartError(WeizhanError):
    """This process cannot run here and now; the text says what holds the resource."""
