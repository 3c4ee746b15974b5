"""The `ebpf` command: verbs for work, nouns as in bpftool. One file a noun; no eBPF knowledge of its own."""

from __future__ import annotations

from ebpf.cli.main import main

__all__ = ["main"]
