"""The eBPF library for Python."""
