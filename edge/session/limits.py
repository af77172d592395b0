"""The transaction limits of the identity policy in force, for whoever does not run the models.

A policy that is refused switches the face method off in the verifier, loudly; sessions go on by
every other way, so here the limits that ship with the software stand in for it. The files are read
again once a minute, because a policy may begin in the middle of a day.
"""

from __future__ import annotations

import threading

import structlog

from edge.config import EdgeConfig
from identity.errors import PolicyRefused
from identity.policy import TransactionLimits, load_policy
from identity.policy_files import policy_in_force
from retention.records.clock import Clock

log = structlog.get_logger(__name__)
READ_AGAIN_NS = 60_000_000_000


class LimitsInForce:
    """Says which limits hold now. Any thread may ask."""

    def __init__(self, config: EdgeConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._lock = threading.Lock()
        self._limits: TransactionLimits | None = None
        self._read_ns = 0

    def now(self) -> TransactionLimits:
        """Return the limits in force."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            if self._limits is None or now_ns - self._read_ns >= READ_AGAIN_NS:
                self._limits, self._read_ns = self._read(), now_ns
            return self._limits

    def _read(self) -> TransactionLimits:
        verification = self._config.verification
        try:
            policy = policy_in_force(
                verification.policy, self._config.policy_key, self._clock.now()
            )
        except PolicyRefused as exc:
            log.error("identity_policy_refused", detail=str(exc))
            policy = load_policy()
        return policy.transaction
