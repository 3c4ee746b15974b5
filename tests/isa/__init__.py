"""Cases of the instruction set, written from RFC 9669.

Every engine runs them (tests/unit/vm), and so does the kernel (tests/linux).
"""
