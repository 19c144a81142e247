"""Settings of an agent. The reference page and the sample file are made from these models."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contract.configfile import Section
from contract.mqtt import BrokerUser
from contract.profile import Ident


class OutboxSettings(Section):
    """How much the agent may hold while the gateway is away."""

    max_bytes: int = Field(default=2 * 1024**3, ge=256 * 1024, le=2**40)
    """Bytes on disk. Above it the oldest telemetry is given up, with an exact record; alarms never are."""
    max_age_days: float = Field(default=30.0, gt=0, le=3650)
    """Days. Older telemetry is given up, with an exact record; alarms never are."""
    reserve_edges: int = Field(default=20_000, ge=10_000, le=1_000_000)
    """Alarm readings kept in memory while the disk takes nothing."""
    batch_bytes: int = Field(default=16 * 1024, ge=1024, le=48 * 1024)
    """Bytes of one sealed batch. Small enough that one batch on a slow link does not hold an alarm up."""


class AgentSettings(Section):
    """One agent: which part of which site it reads, and where it keeps what it read."""

    site_file: Path
    """The site file, the same one the gateway reads."""
    agent_id: Ident
    """Which agent of the site file this process is."""
    data_dir: Path
    """Folder for outbox, lock and status; one agent only."""
    broker_user: BrokerUser | None = None
    """Who the agent is at the broker; with the shipped Mosquitto setup its user name is `{site}/{agent}`."""
    profiles: list[Path] = []
    """Further folders with device profiles; a profile there replaces a shipped one of the same id."""
    outbox: OutboxSettings = OutboxSettings()
    """How much may be held while the gateway is away."""
    heartbeat_s: float = Field(default=10.0, ge=1, le=300)
    """Seconds between two messages of state."""
    seal_ms: int = Field(default=1000, ge=20, le=60_000)
    """Milliseconds telemetry is gathered before a batch is sealed. Alarms are sealed at once."""
    resend_s: float = Field(default=2.0, ge=0.2, le=300)
    """Seconds without a receipt after which what is unacknowledged is sent again."""
    unacknowledged_warn_s: float = Field(default=60.0, ge=5, le=3600)
    """Seconds an alarm may wait for the gateway's receipt before the agent says so in its log and status file."""
    misses: int = Field(default=3, ge=1, le=20)
    """Polls without an answer after which a device counts as offline."""
