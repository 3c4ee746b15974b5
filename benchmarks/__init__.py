"""Measures the engines against native code, the kernel and other user-space engines: `python -m benchmarks`."""
