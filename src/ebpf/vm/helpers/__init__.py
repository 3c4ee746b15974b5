"""Bodies of the helper functions: one module per subject, called through `call_helper`."""

from __future__ import annotations

from ebpf.vm.helpers.dispatch import call_helper

__all__ = ["call_helper"]
