"""`python -m ebpf` is the `ebpf` command."""

from __future__ import annotations

from ebpf.cli import main

if __name__ == "__main__":
    main()
