"""Cases of BPF_PROG_TEST_RUN: programs, contexts and packets that the kernel and the vm have to answer alike."""
