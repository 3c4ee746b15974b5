"""Every case that does not run on every runtime, and why. A case that is not listed here runs on all of them."""

from __future__ import annotations

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(test module and name without parameters, runtime) → reason. A name that ends in `*` is a prefix."""


def reason(test: str, runtime: str) -> str | None:
    """Return why `test` is not for `runtime`, or None."""
    for (pattern, excepted), why in EXCEPTIONS.items():
        matches = test.startswith(pattern[:-1]) if pattern.endswith("*") else test == pattern
        if excepted == runtime and matches:
            return why
    return None
