"""Parts of the outside world, simulated for the demo and the tests. They ship, and they warn."""

from hardware.errors import SIMULATION_VARIABLE, SimulatedPartWarning, warn_simulated

__all__ = ["SIMULATION_VARIABLE", "SimulatedPartWarning", "warn_simulated"]
