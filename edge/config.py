"""The configuration of a node: one pydantic tree, read from TOML. Unknown keys are refused.

A legal floor cannot be configured away: where a duty sets a number, the field's range begins there.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from itertools import combinations
from pathlib import Path
from string import ascii_letters
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from retention.configfile import load
from retention.footage.volumes import Volumes
from retention.keyfiles import KeyDirectory
from retention.keysources import KeySource, ReferenceKeys, reference_keys
from retention.records.clock import SystemClock
from retention.records.errors import UsageError
from retention.records.fields import Code, Frozen
from retention.records.ids import SystemIds
from retention.records.payloads import SceneRole
from retention.store.database import NodeIdentity, NodeStore
from retention.store.footage import MAIN_VOLUME

Port = Annotated[int, Field(ge=0, le=65535)]
MAX_SOCKET_PATH = 100


_Z85 = ".-:+=^!/*?&<>()[]{}@%$#0123456789" + ascii_letters
"""The characters of ZeroMQ's RFC 32; 40 of them hold a CURVE key."""


def _z85(text: str) -> str:
    """Refuse what libzmq would refuse only when the node connects."""
    unknown = next((character for character in text if character not in _Z85), None)
    if unknown is not None:
        raise ValueError(f"no CURVE key: {unknown!r} is no character of Z85")
    return text


class NodeConfig(Frozen):
    """[node]: whose node this is and where its data lies."""

    agency: Code
    pharmacy: Code
    node: Code
    data: Path


class CentralConfig(Frozen):
    """[central]: where records go. `server_key` is central's CURVE key (Z85), `signing_key` hex."""

    endpoint: Annotated[str, Field(pattern=r"^tcp://.+:\d+$")]
    server_key: Annotated[str, Field(min_length=40, max_length=40), AfterValidator(_z85)]
    signing_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    checkpoint_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    window: Annotated[int, Field(ge=1, le=5000)] = 2000


class CameraConfig(Frozen):
    """[[cameras]]: one camera, over RTSP or USB (V4L2), or a film. Footage of a `simulated` one may
    leave the node. `sub_url` is its second stream, to look at instead of the recorded one;
    `encode_*` are what a USB camera is encoded to."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
    scene_role: SceneRole
    url: Annotated[str, Field(pattern=r"^(rtsps?://.+|v4l2:///dev/.+|file:///.+)")]
    sub_url: Annotated[str, Field(pattern=r"^(rtsps?://.+|file:///.+)")] | None = None
    transport: Literal["tcp", "udp"] = "tcp"
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    encode_bits_per_second: Annotated[int, Field(ge=100_000, le=50_000_000)] = 2_000_000
    encode_width: Annotated[int, Field(ge=160, le=3840, multiple_of=2)] = 1280
    encode_height: Annotated[int, Field(ge=120, le=2160, multiple_of=2)] = 720
    encode_fps: Annotated[float, Field(ge=1, le=60)] = 15.0
    simulated: bool = False

    @model_validator(mode="after")
    def _films_are_simulated(self) -> Self:
        films = [url for url in (self.url, self.sub_url) if url and url.startswith("file://")]
        if films and not self.simulated:
            raise ValueError(f"camera {self.id!r}: a film (file://) needs simulated = true")
        return self

    @property
    def is_usb(self) -> bool:
        """Tell whether the camera can be read by one process only, its recorder."""
        return self.url.startswith("v4l2://")


class VolumeConfig(Frozen):
    """[[recording.volumes]]: one disk for footage; filled in order, the emptiest first."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
    path: Path


class RecordingConfig(Frozen):
    """[recording]: how footage is cut and where it lies (DATA/footage when nothing is named)."""

    segment_seconds: Annotated[float, Field(ge=2, le=600)] = 60.0
    volumes: Annotated[tuple[VolumeConfig, ...], Field(max_length=16)] = ()

    @model_validator(mode="after")
    def _volumes_are_told_apart(self) -> Self:
        for one, other in combinations(self.volumes, 2):
            if one.name == other.name:
                raise ValueError(f"volume name {one.name!r} is used twice")
            if one.path.is_relative_to(other.path) or other.path.is_relative_to(one.path):
                raise ValueError(f"volumes {one.name!r} and {other.name!r} lie in one another")
        return self


class RetentionConfig(Frozen):
    """[retention]: how hard what is kept is looked after. Floors are not configured here: a
    policy lengthens them, nothing shortens them."""

    scrub_bytes_per_second: Annotated[int, Field(ge=0, le=1_000_000_000)] = 4_000_000
    warn_days: Annotated[int, Field(ge=30, le=3650)] = 90
    alarm_days: Annotated[int, Field(ge=7, le=365)] = 30


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


OpenHours = Annotated[
    str,
    Field(
        pattern=r"^(closed|open|([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00))$",
    ),
]


class OpeningConfig(Frozen):
    """[opening]: weekly hours in Asia/Shanghai, `HH:MM-HH:MM`, `closed` or `open`; a day that is
    not named is open around the clock."""

    hours: dict[Weekday, OpenHours] = Field(default_factory=dict)


class VerificationConfig(Frozen):
    """[verification]: the counter's face check. `camera` films the person at the counter; counters
    with a camera of their own are named in `counters`. `policy` is a policy file or a folder of
    them, each signed by `policy_key` (hex; central's signing key when it is not named).
    `controller` answers for the personal data (the pharmacy when it is not named).
    `reference_key` says where the key comes from that seals references and probes."""

    camera: str
    counters: dict[Code, str] = Field(default_factory=dict)
    models: Path | None = None
    policy: Path | None = None
    policy_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    controller: Code | None = None
    reference_key: KeySource = "file"
    receipt_seconds: Annotated[float, Field(gt=0, le=600)] = 600.0
    attempts: Annotated[int, Field(ge=1, le=5)] = 5
    reference_days: Annotated[int, Field(ge=1, le=3650)] = 365


class PresenceConfig(Frozen):
    """[presence]: the pharmacist on duty. `camera` films their place (the counter's when none is
    named); they are looked at again after a random time around `recheck_seconds`, and are absent
    when they were not seen for `grace_seconds`. Who signed in by secret alone confirms it again
    after `confirm_minutes`."""

    required: bool = True
    camera: str | None = None
    recheck_seconds: Annotated[float, Field(ge=5, le=3600)] = 120.0
    grace_seconds: Annotated[float, Field(ge=10, le=3600)] = 300.0
    confirm_minutes: Annotated[float, Field(ge=1, le=720)] = 240.0


_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class DeviceConfig(Frozen):
    """[devices.…]: where a device's service listens, and the key (hex) that its answers are signed
    with."""

    url: Annotated[str, Field(pattern=r"^https?://.+")]
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 30.0
    simulated: bool = False


class DevicesConfig(Frozen):
    """[devices]: other ways of verifying a person, the reader of identity cards, and the adapter of
    an authority that keeps official portraits."""

    certified_terminal: DeviceConfig | None = None
    fingerprint: DeviceConfig | None = None
    card_reader: DeviceConfig | None = None
    authority: DeviceConfig | None = None

    @model_validator(mode="after")
    def _numbers_travel_sealed(self) -> Self:
        known = self.authority
        if known is None or known.url.startswith("https://"):
            return self
        if urlsplit(known.url).hostname not in _LOOPBACK:  # not what only begins like it
            raise ValueError("devices.authority.url: a name and a number need https://")
        return self


class SessionConfig(Frozen):
    """[session]: what belongs to a dispensing session."""

    pre_roll_seconds: Annotated[float, Field(ge=0, le=600)] = 30.0
    post_roll_seconds: Annotated[float, Field(ge=0, le=600)] = 30.0
    authorisation_seconds: Annotated[float, Field(gt=0, le=600)] = 600.0


class TerminalConfig(Frozen):
    """[terminal]: the HTTP API. Loopback is plain; the LAN listener is always TLS."""

    port: Port = 7311
    lan_host: str | None = None
    lan_port: Port = 7312


class SettlementConfig(Frozen):
    """[settlement]: who settles. External: the pharmacy's own system settles and reports."""

    mode: Literal["external", "node"] = "external"
    platform_url: str | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0

    @model_validator(mode="after")
    def _node_mode_needs_a_platform(self) -> Self:
        if self.mode == "node" and self.platform_url is None:
            raise ValueError("mode 'node' needs platform_url")
        return self


class EdgeConfig(Frozen):
    """The whole file."""

    node: NodeConfig
    central: CentralConfig | None = None
    cameras: Annotated[tuple[CameraConfig, ...], Field(min_length=1, max_length=64)]
    recording: RecordingConfig = RecordingConfig()
    retention: RetentionConfig = RetentionConfig()
    opening: OpeningConfig = OpeningConfig()
    verification: VerificationConfig
    presence: PresenceConfig = PresenceConfig()
    devices: DevicesConfig = DevicesConfig()
    session: SessionConfig = SessionConfig()
    terminal: TerminalConfig = TerminalConfig()
    settlement: SettlementConfig = SettlementConfig()

    @model_validator(mode="after")
    def _cameras_are_told_apart(self) -> Self:
        ids = [camera.id for camera in self.cameras]
        twice = next((id_ for id_ in ids if ids.count(id_) > 1), None)
        if twice is not None:
            raise ValueError(f"camera id {twice!r} is used twice")
        looked_through = {"verification.camera": self.verification.camera}
        for counter, camera in self.verification.counters.items():
            looked_through[f"verification.counters.{counter}"] = camera
        if self.presence.camera is not None:
            looked_through["presence.camera"] = self.presence.camera
        for key, camera in looked_through.items():
            if camera not in ids:
                raise ValueError(f"{key} {camera!r} is none of {', '.join(ids)}")
            if self.camera(camera).is_usb:
                raise ValueError(
                    f"{key} {camera!r} is a USB camera, which only its recorder can read; name an"
                    " RTSP camera"
                )
        return self

    def camera_of_counter(self, counter: str) -> str:
        """Return the camera that films the person at a counter."""
        return self.verification.counters.get(counter, self.verification.camera)

    @property
    def face_cameras(self) -> tuple[str, ...]:
        """Return the cameras that people are looked at through, each once."""
        verification = self.verification
        named = [verification.camera, *verification.counters.values(), self.presence.camera]
        return tuple(dict.fromkeys(camera for camera in named if camera is not None))

    @property
    def controller(self) -> str:
        """Return who answers for the personal data held here."""
        return self.verification.controller or self.node.pharmacy

    @property
    def policy_key(self) -> str | None:
        """Return the key (hex) that identity policies must be signed with, if any is known."""
        central = self.central.signing_key if self.central is not None else None
        return self.verification.policy_key or central

    @property
    def identity(self) -> NodeIdentity:
        return NodeIdentity(self.node.agency, self.node.pharmacy, self.node.node)

    @property
    def footage_root(self) -> Path:
        """Return where footage lies when no volume is named."""
        return self.node.data / "footage"

    @property
    def volume_roots(self) -> dict[str, Path]:
        """Return each volume's folder by name; without any, DATA/footage is `main`."""
        named = {volume.name: volume.path for volume in self.recording.volumes}
        return named or {MAIN_VOLUME: self.footage_root}

    def volumes(self, store: NodeStore) -> Volumes:
        """Return this node's footage volumes. Only DATA/footage is made when it is not there."""
        return Volumes(store, self.volume_roots, () if self.recording.volumes else (MAIN_VOLUME,))

    def camera(self, camera_id: str) -> CameraConfig:
        return next(camera for camera in self.cameras if camera.id == camera_id)

    def keys(self) -> KeyDirectory:
        return KeyDirectory(self.node.data / "keys")

    def reference_keys(self) -> ReferenceKeys:
        """Return the keys that seal references and probes. Raises KeyRefused."""
        return reference_keys(self.verification.reference_key, self.keys())

    def open_store(self) -> NodeStore:
        """Open the node's database for this process."""
        return NodeStore(self.node.data / "node.sqlite3", self.identity, SystemClock(), SystemIds())

    def socket(self, name: str) -> str:
        """Return the ZeroMQ address of a process's local socket; short enough for the kernel.

        Raises UsageError when the folder beside everybody's temporary files is somebody else's.
        """
        path = self.node.data / "run" / name
        if len(str(path)) <= MAX_SOCKET_PATH:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return f"ipc://{path}"
        short = hashlib.sha256(str(self.node.data.resolve()).encode()).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"countersight-{short}"
        folder.mkdir(exist_ok=True, mode=0o700)
        if folder.lstat().st_uid != os.geteuid():  # pictures and decisions travel here
            raise UsageError(f"{folder}: belongs to another user")
        return f"ipc://{folder / name}"


def load_config(path: Path) -> EdgeConfig:
    """Read a node's configuration. Raises ConfigRefused with one line."""
    return load(path, EdgeConfig)
