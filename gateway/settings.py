"""Settings of the gateway."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contract.configfile import Section
from contract.equipment import Limits
from contract.mqtt import BrokerUser
from gateway.backup.settings import BackupSettings
from gateway.incidents.settings import ResponseSettings
from gateway.upward.settings import Centre


class GatewaySettings(Section):
    """The process that decides and remembers."""

    sites: list[Path] = Field(min_length=1)
    """Site files, one a station."""
    grid: Path | None = None
    """Grid file: areas, their people and units (docs/duty.md); sites name their area in it."""
    data_dir: Path = Path("data")
    """Folder of the ledger, the control socket and the embedded history. One gateway a folder."""
    broker_user: BrokerUser | None = None
    """Who the gateway is at the broker; with the shipped Mosquitto setup its user name is `gateway`."""
    profiles: list[Path] = []
    """Folders with further device profiles; one with the id of a shipped profile replaces it."""
    rule_folders: list[Path] = []
    """Folders with further rule packs; one with the name of a shipped pack replaces it (docs/rule-lab.md)."""
    rule_overrides: dict[str, Limits] = {}
    """Durations and limits changed for this installation, by rule id."""
    response: ResponseSettings = ResponseSettings()
    """The first minutes of a fire."""
    centres: list[Centre] = []
    """Monitoring centres that are told of a station by GB/T 26875.3."""
    backup: BackupSettings = BackupSettings()
    """Backups of everything that is kept."""
    commit_ms: int = Field(default=10, ge=0, le=1000)
    """Telemetry waits at most this long (ms) to share a commit; alarms never wait."""
    queue_messages: int = Field(default=2000, ge=10, le=100_000)
    """Messages of a lane that may wait. When full the newest is left to the agent, which sends it again."""
    queue_bytes: int = Field(default=16 * 1024 * 1024, ge=1024 * 1024, le=1024 * 1024 * 1024)
    """Bytes of a lane that may wait."""
    inbox_keep_days: float = Field(default=7.0, ge=0.01, le=3650)
    """Days a batch stays in the ledger after the history has it. Rows the history lacks always stay."""
    people_keep_days: float = Field(default=1095.0, ge=1, le=36500)
    """Days after which name, phone, certificate numbers and PIN of somebody who left are erased."""
    checkpoint_s: float = Field(default=10.0, ge=0.1, le=600)
    """Seconds between two checkpoints of the last values."""
    unknown_readings: int = Field(default=10_000, ge=0, le=1_000_000)
    """Readings kept of each device that nobody approved yet; further ones are counted."""
    unknown_devices: int = Field(default=1000, ge=1, le=100_000)
    """Unapproved devices kept; readings of further ones are counted."""
