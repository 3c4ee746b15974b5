"""Measure the engines and print tables of ratios, all taken in one run.

Usage: python -m benchmarks [--quick] [--only SECTION] [--json FILE] [--plot FILE] [--docs FILE]
Exit status 1 if any engine's result differs from native code's.
"""

from __future__ import annotations

from benchmarks.command import main

if __name__ == "__main__":
    raise SystemExit(main())
