"""What retention needs of a node's configuration file: whose node, where its data, its volumes.

The whole file is `edge.config.EdgeConfig`, which this package must not reach. Keys that are not
named here are left to it; a test holds the two against each other.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from retention.configfile import load
from retention.keyfiles import KeyDirectory
from retention.records.clock import SystemClock
from retention.records.ids import SystemIds
from retention.records.payloads import SceneRole
from retention.store.database import NodeIdentity, NodeStore
from retention.store.footage import MAIN_VOLUME


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class NodePart(_Part):
    agency: str
    pharmacy: str
    node: str
    data: Path


class CentralPart(_Part):
    signing_key: str


class CameraPart(_Part):
    id: str
    scene_role: SceneRole
    url: str = ""
    encode_bits_per_second: int = 2_000_000

    @property
    def configured_bits(self) -> int | None:
        """Return the bit rate that this node itself encodes to; others set their own."""
        return self.encode_bits_per_second if self.url.startswith("v4l2:") else None


class VolumePart(_Part):
    name: str
    path: Path


class RecordingPart(_Part):
    volumes: tuple[VolumePart, ...] = ()


class SessionPart(_Part):
    pre_roll_seconds: float = 30.0
    post_roll_seconds: float = 30.0


class NodeFile(_Part):
    """The parts of a node's configuration that retention reads."""

    node: NodePart
    central: CentralPart | None = None
    cameras: tuple[CameraPart, ...]
    recording: RecordingPart = RecordingPart()
    session: SessionPart = SessionPart()

    @property
    def identity(self) -> NodeIdentity:
        return NodeIdentity(self.node.agency, self.node.pharmacy, self.node.node)

    @property
    def database(self) -> Path:
        return self.node.data / "node.sqlite3"

    @property
    def volume_roots(self) -> dict[str, Path]:
        """Return each volume's folder by name; without any, DATA/footage is `main`."""
        named = {volume.name: volume.path for volume in self.recording.volumes}
        return named or {MAIN_VOLUME: self.node.data / "footage"}

    @property
    def central_key(self) -> bytes | None:
        """Return the Ed25519 key that central signs with, as this node was told it."""
        return None if self.central is None else bytes.fromhex(self.central.signing_key)

    def keys(self) -> KeyDirectory:
        return KeyDirectory(self.node.data / "keys")

    def open_store(self) -> NodeStore:
        """Open the node's database. Raises StoreUnavailable, StoreRefused."""
        return NodeStore(self.database, self.identity, SystemClock(), SystemIds())


def load_node_file(path: Path) -> NodeFile:
    """Read a node's configuration. Raises ConfigRefused with one line."""
    return load(path, NodeFile)
