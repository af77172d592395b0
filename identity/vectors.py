"""Comparing embeddings: unit vectors in, a cosine out, and nothing that is not a number."""

from __future__ import annotations

import numpy as np

from models.values import Embedding


def require_unit(embedding: Embedding) -> None:
    """Raise ValueError unless an embedding is one finite vector of unit length."""
    if embedding.ndim != 1 or not abs(float(np.linalg.norm(embedding)) - 1.0) < 1e-3:
        raise ValueError("an embedding is not of unit length")


def cosine(left: Embedding, right: Embedding) -> float:
    """Return the cosine of two unit embeddings. Raises ValueError on any other input."""
    if left.shape != right.shape:
        raise ValueError("embeddings of different dimensions")
    # A reference that is longer than one would raise every score: lengths are asked, not assumed.
    require_unit(left)
    require_unit(right)
    return float(np.dot(left, right))
