"""Parts of the outside world, simulated for the demo and the tests. They ship, and they warn."""

from __future__ import annotations

import os
import warnings

SIMULATION_VARIABLE = "COUNTERSIGHT_SIMULATION"


class SimulatedPartWarning(UserWarning):
    """A simulated part was made outside the demo and the tests."""


def warn_simulated(part: str) -> None:
    """Warn that `part` is simulated, unless the environment says this is a simulation."""
    if os.environ.get(SIMULATION_VARIABLE) != "1":
        warnings.warn(
            f"{part} is simulated; set {SIMULATION_VARIABLE}=1 only for the demo and tests",
            SimulatedPartWarning,
            stacklevel=3,
        )
