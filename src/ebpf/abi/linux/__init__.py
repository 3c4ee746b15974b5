"""Tables of the Linux kernel's eBPF interface."""
