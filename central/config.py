"""The configuration of central: one pydantic tree, read from TOML. Unknown keys are refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from retention.configfile import load
from retention.records.fields import Frozen

Port = Annotated[int, Field(ge=1, le=65535)]


class StorageConfig(Frozen):
    """[storage]: where the data lies. Without `database` it is SQLite in the data folder."""

    data: Path
    database: Annotated[str, Field(pattern=r"^(sqlite|postgresql)(\+\w+)?://.+")] | None = None


class CollectorConfig(Frozen):
    """[collector]: where nodes connect (ZeroMQ over CURVE)."""

    endpoint: Annotated[str, Field(pattern=r"^tcp://[^:/]+:[1-9]\d{0,4}$")] = "tcp://127.0.0.1:7320"


class WebConfig(Frozen):
    """[web]: the API and the pages. `admin_token_sha256` replaces the token made at first start;
    `public_url` is the address that browsers use when a proxy stands before us."""

    host: str = "127.0.0.1"
    port: Port = 7321
    admin_token_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    public_url: Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+$")] | None = None
    sign_in_hours: Annotated[float, Field(gt=0, le=24)] = 12.0
    idle_minutes: Annotated[float, Field(ge=1, le=720)] = 60.0

    @property
    def sign_in_lasts(self) -> timedelta:
        return timedelta(hours=self.sign_in_hours)

    @property
    def idle(self) -> timedelta:
        return timedelta(minutes=self.idle_minutes)

    @property
    def over_tls(self) -> bool:
        """Say whether browsers reach us over TLS only, so that cookies may insist on it."""
        return self.public_url is not None and self.public_url.startswith("https://")


class FootageConfig(Frozen):
    """[footage]: what a footage command asks around a session, and for how long it stands."""

    pre_roll_seconds: Annotated[float, Field(ge=0, le=600)] = 30.0
    post_roll_seconds: Annotated[float, Field(ge=0, le=600)] = 30.0
    command_seconds: Annotated[float, Field(gt=0, le=7 * 86400)] = 86400.0
    segment_bytes: Annotated[int, Field(ge=1024, le=8 * 1024**3)] = 2 * 1024**3


class CentralConfig(Frozen):
    """The whole file."""

    storage: StorageConfig
    collector: CollectorConfig = CollectorConfig()
    web: WebConfig = WebConfig()
    footage: FootageConfig = FootageConfig()

    @property
    def database_url(self) -> str:
        return self.storage.database or f"sqlite:///{self.storage.data / 'central.sqlite3'}"

    @property
    def footage_root(self) -> Path:
        return self.storage.data / "footage"


def load_config(path: Path) -> CentralConfig:
    """Read central's configuration. Raises ConfigRefused with one line."""
    return load(path, CentralConfig)
