from __future__ import annotations

import signal
import threading

from retention.signals import setting


def test_signal_during_the_events_own_lock_sets_it():
    stop = threading.Event()
    before = signal.signal(signal.SIGUSR1, setting(stop))
    try:
        # As when the signal comes inside Event.wait: a handler calling `set` would hang here.
        with stop._cond:
            signal.raise_signal(signal.SIGUSR1)
            assert not stop.is_set()
        assert stop.wait(10)
    finally:
        signal.signal(signal.SIGUSR1, before)
