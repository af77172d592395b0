"""Whether a living person stands there: a set of signals, and the policy that weighs them."""
