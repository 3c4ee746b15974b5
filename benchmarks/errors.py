"""What can go wrong in a measurement."""

from __future__ import annotations


class Missing(Exception):
    """Something to be measured is not there; the message says why. Its column says "not available"."""
