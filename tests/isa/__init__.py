"""Cases of the instruction set, written from RFC 9669: run by every engine (tests/unit/vm) and by the kernel (tests/linux)."""
