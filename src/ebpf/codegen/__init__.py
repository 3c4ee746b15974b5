"""Native code: images of our own support library, and how they are mapped. Nothing here knows eBPF."""
