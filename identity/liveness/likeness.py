"""Are the embeddings too alike to be those of a living person?

Two pictures of a person that were taken apart never embed alike; a copy of the reference picture
does. Measured limits: docs/design/identity.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from identity.liveness.signals import About, Signal, at_most, not_assessed
from identity.policy import LivenessLimits
from models.values import Embedding

ABOUT = About(
    name="likeness",
    unit="cosine",
    source="the highest comparison score of a compared frame with the reference picture",
    blind_to="copies of any other picture of the person",
)


def signal(
    embeddings: Sequence[Embedding],
    reference_embedding: Embedding | None,
    limits: LivenessLimits,
) -> Signal:
    """Return the likeness signal; not assessed without a reference or compared frames."""
    limit = float(limits.max_likeness)
    if reference_embedding is None or not embeddings:
        return not_assessed(ABOUT.name, limit)
    highest = max(float(np.dot(reference_embedding, each)) for each in embeddings)
    return at_most(ABOUT.name, highest, limit, "REPLAYED_FRAMES")
