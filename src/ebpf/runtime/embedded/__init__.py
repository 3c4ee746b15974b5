"""A user-space kernel that answers bpf() in this process, without privileges, on every operating system."""

from __future__ import annotations

from ebpf.runtime.embedded.kernel import EmbeddedRuntime

__all__ = ["EmbeddedRuntime"]
