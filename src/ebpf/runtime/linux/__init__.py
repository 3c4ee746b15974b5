"""The Linux kernel as a runtime: bpf(2) by ctypes and what stands beside it.

Modules here import on every system; the first call elsewhere than on Linux raises NotSupportedError.
"""
