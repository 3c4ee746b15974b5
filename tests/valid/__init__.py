"""Random programs that the kernel's verifier accepts, and what they have to do: the same everywhere."""
