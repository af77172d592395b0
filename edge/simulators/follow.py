"""`python -P -m edge.simulators.follow PARENT COMMAND…`: become COMMAND, and end with PARENT.

What a demo or a test starts must not outlive it, also when it was killed and could stop nothing.
Linux then sends SIGTERM here, and COMMAND ends in order. It keeps this process's id, so whoever
started it signals and waits for COMMAND itself. On other systems nothing is sent.

PARENT is the thread that started us, as the kernel sees it: it must be one that stays.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def following(command: list[str]) -> list[str]:
    """Return the command line that runs `command` for as long as this process lives."""
    return [sys.executable, "-P", "-m", "edge.simulators.follow", str(os.getpid()), *command]


def main(argv: list[str]) -> None:
    """Never returns. Raises OSError when the kernel refuses, or there is no such command."""
    parent, *command = argv
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != int(parent):
            sys.exit(0)  # it was gone before we asked
    os.execv(command[0], command)  # noqa: S606 - a list that we built, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
