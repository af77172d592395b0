"""A child that is killed before one of its disk calls."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence


def die_at(step: int, calls: Sequence[str], act: Callable[[], None]) -> bool:
    """Fork, do `act`, and kill the child before its `step`th call of `os` among `calls`.

    True: it died.
    """
    pid = os.fork()
    if pid == 0:
        seen = 0
        for name in calls:
            original = getattr(os, name)

            def counted(*args: object, _original: Callable[..., object] = original) -> object:
                nonlocal seen
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return _original(*args)

            setattr(os, name, counted)
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False
