"""The lives of a recorder that is cut short: what it does, where it dies, what the power takes.

A life is a forked process that opens the database and two volumes, recovers, records from a list
of packets (a new volume for every other segment), and disposes of what is a year old. It dies, or
its disk fails, at one of its disk calls. A journal that the disk calls write on the side says what
was made durable, so that afterwards the parent can take away what no fsync had promised.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from edge.recorder.recording import Recording
from edge.recorder.writer import StreamRefused
from hardware.errors import CameraEnded
from retention.disposal import dispose_due
from retention.footage import volumes as volumes_module
from retention.footage.boxes import recover_length
from retention.footage.layout import PART_SUFFIX, SEALED_SUFFIX, FootageError
from retention.footage.sink import DirectorySyncFailed
from retention.footage.volume import Volume
from retention.footage.volumes import Volumes
from retention.records.clock import ManualClock, from_text
from retention.records.ids import SeededIds
from retention.records.payloads import GapCause, SceneRole
from retention.store import trusted
from retention.store.database import NodeStore, StoreError
from tests.conftest import IDENTITY
from tests.edge.recorder.conftest import ListedCamera

BEGAN = from_text("2026-01-02T03:04:05.000000Z")
YEAR_LATER = timedelta(days=400)
STEP = timedelta(milliseconds=100)
CAMERA = "counter-1"
NAMES = ("a", "b")
DISPOSE_AT_PICTURE = 25
LIMIT = 100
DIED_OF_THE_DISK = 3

CALLS = (
    "write", "fdatasync", "fsync", "rename", "link", "unlink", "ftruncate", "close", "mkdir",
    "rmdir", "posix_fallocate",
)  # fmt: skip
SYNCS = ("fdatasync", "fsync")
GROWS = ("write", "mkdir", "posix_fallocate", "link")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at disk call `step` (from 1): `before`, `after` and `torn` kill; `fsync` and
    `full` let that call and, of a full disk, every later one fail."""

    kind: str
    step: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a life ended: killed, and after how many disk calls."""

    killed: bool
    calls: int


def live(data: Path, raw: bytes, now: datetime, seed: int, fault: Fault | None = None) -> Outcome:
    """Run one life in a child process. Raises AssertionError when it ends in a way of its own."""
    journal = data.parent / f"{data.name}.journal"
    said = data.parent / f"{data.name}.said"
    journal.write_bytes(b"")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            disk = Disk(journal, fault)
            code = _life(data, raw, now, seed, disk)
            disk.note({"calls": disk.calls})
        except BaseException:  # noqa: BLE001 - the child must never return into pytest
            with contextlib.suppress(BaseException):
                said.write_text("".join(traceback.format_exception(*sys.exc_info())))
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return Outcome(True, fault.step if fault else 0)
    ended = os.WEXITSTATUS(status)
    assert ended in (0, DIED_OF_THE_DISK), said.read_text()
    return Outcome(False, read_journal(data)[-1]["calls"])


def _life(data: Path, raw: bytes, now: datetime, seed: int, disk: Disk) -> int:
    clock = ManualClock(BEGAN)
    clock.advance(now - BEGAN)
    chance = random.Random(seed)
    _rotate(chance)
    store = NodeStore(data / "node.sqlite3", IDENTITY, clock, SeededIds(seed))
    disk.arm(store)
    try:
        _work(store, data, raw, clock, disk)
    except DirectorySyncFailed:
        return DIED_OF_THE_DISK  # The process stops; its supervisor starts another.
    finally:
        disk.disarm()
        store.close()
    return 0


def _work(store: NodeStore, data: Path, raw: bytes, clock: ManualClock, disk: Disk) -> None:
    """What a recorder and the custodian do, in one process so that the order is the seed's."""
    recording: Recording | None = None
    try:
        volumes = Volumes(store, {name: data / name for name in NAMES}, NAMES)
        volumes.open()
        with store.write() as connection:
            trusted.advance(store, connection, None)
        recording = Recording(store, volumes, CAMERA, SceneRole.PURCHASE, segment_seconds=2)
        recording.recover()
        recording.note_unexplained_end()
        source = ListedCamera(raw, lambda _: clock.advance(STEP), clock.monotonic_ns())
        recording.connected(source)
        try:
            for number, received in enumerate(source.packets()):
                recording.take(received, seal_asked=lambda: False)
                if received.packet.is_keyframe:
                    disk.note({"gop": number})
                if number == DISPOSE_AT_PICTURE:
                    dispose_due(store, volumes, LIMIT, lambda: None, central=False)
        except CameraEnded:
            recording.finish(GapCause.CAMERA_UNREACHABLE)
    except DirectorySyncFailed:
        raise
    except (OSError, StoreError, FootageError, StreamRefused):
        if recording is not None:
            recording.abandon()
            with contextlib.suppress(StoreError):
                recording.open_gap(GapCause.DISK_FAILED)


def _rotate(chance: random.Random) -> None:
    """Let the seed say which disk has more room, so that segments change between the two."""
    volumes_module.STICKY_BYTES = 0  # type: ignore[misc]
    Volume.free_bytes = lambda self: chance.randrange(10**9, 10**10)  # type: ignore[method-assign]


class Disk:
    """Counts disk calls in the child, tells the journal, and lets one of them go wrong."""

    def __init__(self, journal: Path, fault: Fault | None) -> None:
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND)
        self._fault = fault
        self._write, self._real = os.write, {name: getattr(os, name) for name in CALLS}
        self._aside = journal.with_suffix(".aside")
        self._on = False
        self.calls = 0

    def arm(self, store: NodeStore) -> None:
        self._on = True
        self._aside.mkdir(exist_ok=True)
        # A killed process loses nothing that the kernel has; what the power takes is the journal's
        # affair. So nothing need wait for a real disk.
        self._real |= dict.fromkeys(SYNCS, lambda *_: None)
        store._connection.execute("PRAGMA synchronous = OFF")
        for name in CALLS:
            setattr(os, name, self._hooked(name))
        store._connection.set_trace_callback(self._statement)

    def disarm(self) -> None:
        self._on = False

    def note(self, said: dict[str, object]) -> None:
        self._write(self._journal, json.dumps(said).encode() + b"\n")

    def _statement(self, sql: str) -> None:
        if sql.startswith("COMMIT"):
            self._count("commit")

    def _count(self, name: str) -> bool:
        """Count a call; die before it if it is its turn. True: it must fail."""
        if not self._on:
            return False
        self.calls += 1
        fault = self._fault
        if fault is None:
            return False
        if fault.kind == "full" and self.calls >= fault.step:
            return name in GROWS
        if self.calls == fault.step and fault.kind == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        return fault.kind == "fsync" and self.calls >= fault.step and name in SYNCS

    def _hooked(self, name: str) -> Callable[..., object]:
        real = self._real[name]

        def call(*args: object, **more: object) -> object:
            if not self._on or (name in ("write", "close") and args[0] == self._journal):
                return real(*args, **more)
            failed = self._count(name)
            if failed:
                if self._fault is not None and self._fault.kind == "fsync":
                    self._fault = None  # One failure; the disk seems well again.
                    raise OSError(errno.EIO, "Input/output error")
                raise OSError(errno.ENOSPC, "No space left on device")
            if self._is_turn("torn") and name == "write":
                content = bytes(args[1])  # type: ignore[arg-type]
                real(args[0], content[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            self._tell_before(name, args)
            found = real(*args, **more)
            self._tell_after(name, args)
            if self._is_turn("after") or self._is_turn("torn"):
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return call

    def _is_turn(self, kind: str) -> bool:
        fault = self._fault
        return fault is not None and fault.kind == kind and self.calls == fault.step

    def _tell_before(self, name: str, args: tuple[object, ...]) -> None:
        if name == "unlink" and str(args[0]).endswith(SEALED_SUFFIX):
            kept = self._aside / Path(str(args[0])).name
            shutil.copyfile(str(args[0]), kept)
            self.note({"unlinked": str(args[0]), "kept": str(kept)})

    def _tell_after(self, name: str, args: tuple[object, ...]) -> None:
        if name == "rename":
            self.note({"renamed": str(args[0]), "to": str(args[1])})
        elif name in SYNCS:
            path = os.readlink(f"/proc/self/fd/{args[0]}")
            if os.path.isdir(path):
                self.note({"folder": path})
            elif path.endswith(PART_SUFFIX):
                size = os.stat(path).st_size
                with open(path, "rb") as file:
                    self.note({"synced": path, "size": size, "whole": recover_length(file, size)})


def read_journal(data: Path) -> list[dict[str, object]]:
    journal = data.parent / f"{data.name}.journal"
    return [json.loads(line) for line in journal.read_text().splitlines()]


def lose_power(data: Path, chance: random.Random) -> list[str]:
    """Take away what no fsync had promised: tails, names, deletions. Returns what was taken."""
    told, taken = read_journal(data), []
    synced = {str(one["synced"]): int(str(one["size"])) for one in told if "synced" in one}
    for part in sorted(data.rglob(f"*{PART_SUFFIX}")):
        size, safe = part.stat().st_size, min(synced.get(str(part), 0), part.stat().st_size)
        if size > safe and chance.random() < 0.7:
            keep = chance.randint(safe, size)
            os.truncate(part, keep)
            if chance.random() < 0.3:
                os.truncate(part, size)  # the length was there, the bytes are zeros
            taken.append(f"{size - keep} bytes of {part.name}")
    for number, one in enumerate(told):
        folder_synced = any("folder" in later for later in told[number:])
        if "renamed" in one and not folder_synced and chance.random() < 0.5:
            old, new = Path(str(one["renamed"])), Path(str(one["to"]))
            if new.exists() and not old.exists():
                new.rename(old)
                taken.append(f"the name {new.name}")
        if "unlinked" in one and not folder_synced and chance.random() < 0.5:
            path = Path(str(one["unlinked"]))
            if path.parent.is_dir() and not path.exists():
                shutil.copyfile(str(one["kept"]), path)
                taken.append(f"the deletion of {path.name}")
    return taken
