"""Settings of the way to the broker, the same for agent and gateway."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contract.configfile import Section
from contract.errors import ConfigError
from contract.topics import DEFAULT_ROOT


class BrokerUser(Section):
    """Who one process is at the broker."""

    username: str
    """Name to sign in with; with Mosquitto it is the client id as well, so no two processes may share it."""
    password_file: Path
    """File holding the password, one line."""


class MqttSettings(Section):
    """The broker and how to reach it."""

    host: str = "127.0.0.1"
    """Address of the broker."""
    port: int = Field(default=1883, ge=1, le=65535)
    """Port of the broker."""
    username: str | None = None
    """Name to sign in with, where one process runs from this file; `broker_user` of a section goes before it."""
    password_file: Path | None = None
    """File holding the password, one line. Secrets never stand in the configuration itself."""
    ca_file: Path | None = None
    """CA certificate; with it the connection is TLS."""
    root: str = Field(default=DEFAULT_ROOT, pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    """First part of every topic."""
    keepalive_s: int = Field(default=15, ge=5, le=600)
    """MQTT keep-alive."""

    def as_user(self, user: BrokerUser | None) -> MqttSettings:
        """The same way to the broker for a process that signs in as `user`."""
        return self if user is None else self.model_copy(update=dict(user))

    def password(self) -> str | None:
        """The password from its file. Raises ConfigError when the file cannot be read."""
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_text("utf-8").strip()
        except OSError as exc:
            raise ConfigError(
                f"{self.password_file}: {exc.strerror}. mqtt.password_file must name a readable file."
            ) from exc
