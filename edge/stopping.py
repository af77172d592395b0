"""Why the node stops: DATA/run/stopping.json, from the supervisor to its processes.

Written before the processes are asked to end, so that a recorder can give its last gap the true
cause. Nothing waits for it and nothing fails for it: without it an end is `recorder_stopped`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from retention.durable import is_held
from retention.records.payloads import GapCause

PLANNED_SIGNAL = signal.SIGUSR1
POWER_SIGNAL = signal.SIGPWR
REASON_OF_SIGNAL: Mapping[int, str] = {
    signal.SIGTERM: "sigterm",
    signal.SIGINT: "sigint",
    PLANNED_SIGNAL: "planned_shutdown",
    POWER_SIGNAL: "power_failing",
}
_CAUSES = {
    "planned_shutdown": GapCause.PLANNED_SHUTDOWN,
    "power_failing": GapCause.POWER_FAILING,
}
MOST_TEXT = 200


def tell(data: Path, reason: str) -> None:
    """Write why the node stops. Raises OSError."""
    _replace(data / "run" / "stopping.json", {"reason": reason})


def forget(data: Path) -> None:
    """Take away what an earlier stop left. Raises OSError."""
    for name in ("stopping.json", "shut-down.json"):
        (data / "run" / name).unlink(missing_ok=True)


def gap_cause(data: Path) -> GapCause:
    """Return the cause of a gap that begins with the stop that is under way."""
    return cause_of(str(_read(data / "run" / "stopping.json").get("reason")))


def cause_of(reason: str) -> GapCause:
    """Return the cause of the gap that a reason to stop leaves."""
    return _CAUSES.get(reason, GapCause.RECORDER_STOPPED)


def leave_request(data: Path, text: str) -> None:
    """Write in whose name a planned shutdown is asked for. Raises OSError."""
    _replace(data / "run" / "shut-down.json", {"text": text[:MOST_TEXT]})


def request_text(data: Path) -> str:
    """Return what `leave_request` wrote; empty without it."""
    return str(_read(data / "run" / "shut-down.json").get("text", ""))[:MOST_TEXT]


def running_supervisor(data: Path) -> int | None:
    """Return the process id of the supervisor that runs on a data folder, None if none does."""
    lock = data / "run" / "supervisor.lock"
    if not is_held(lock):
        return None
    said = lock.read_bytes()[:32].split()
    found = int(said[0]) if said and said[0].isdigit() else None
    return found if found is not None and _has_open(found, lock) else None


def _has_open(pid: int, file: Path) -> bool:
    """Tell whether a process has a file open. The lock may still name its last holder, and that
    process id may be somebody else's by now. Raises OSError when this user may not know."""
    wanted = file.stat()
    for one in _descriptors(pid):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if os.path.samestat(one.stat(), wanted):
                return True
    return False


def _descriptors(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return []


def _replace(path: Path, content: Mapping[str, str]) -> None:
    """Write a small file whole or not at all; not durably, for it tells of now."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(content))
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _read(path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):  # gone, or of somebody else: then nothing is known
        return {}
    return found if isinstance(found, dict) else {}
