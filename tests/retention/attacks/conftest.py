"""A node that recorded for two days and told central, ready to be attacked."""

from tests.retention.footage.conftest import clip

__all__ = ["clip"]
