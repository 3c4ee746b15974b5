"""Types of maps, and the flags of maps and their elements."""

from __future__ import annotations

from enum import IntFlag

from ebpf.abi.types import WINDOWS, TaggedEnum, tag


class MapType(TaggedEnum):
    """Kind of a map (`BPF_MAP_TYPE_*`)."""

    UNSPEC = 0
    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERF_EVENT_ARRAY = 4
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    STACK_TRACE = 7
    CGROUP_ARRAY = 8
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    HASH_OF_MAPS = 13
    DEVMAP = 14
    SOCKMAP = 15
    CPUMAP = 16
    XSKMAP = 17
    SOCKHASH = 18
    CGROUP_STORAGE = 19
    REUSEPORT_SOCKARRAY = 20
    PERCPU_CGROUP_STORAGE = 21
    QUEUE = 22
    STACK = 23
    SK_STORAGE = 24
    DEVMAP_HASH = 25
    STRUCT_OPS = 26
    RINGBUF = 27
    INODE_STORAGE = 28
    TASK_STORAGE = 29
    BLOOM_FILTER = 30
    USER_RINGBUF = 31
    CGRP_STORAGE = 32
    ARENA = 33
    INSN_ARRAY = 34
    WINDOWS_HASH = tag(WINDOWS, 1)
    WINDOWS_ARRAY = tag(WINDOWS, 2)
    WINDOWS_PROG_ARRAY = tag(WINDOWS, 3)
    WINDOWS_PERCPU_HASH = tag(WINDOWS, 4)
    WINDOWS_PERCPU_ARRAY = tag(WINDOWS, 5)
    WINDOWS_HASH_OF_MAPS = tag(WINDOWS, 6)
    WINDOWS_ARRAY_OF_MAPS = tag(WINDOWS, 7)
    WINDOWS_LRU_HASH = tag(WINDOWS, 8)
    WINDOWS_LPM_TRIE = tag(WINDOWS, 9)
    WINDOWS_QUEUE = tag(WINDOWS, 10)
    WINDOWS_LRU_PERCPU_HASH = tag(WINDOWS, 11)
    WINDOWS_STACK = tag(WINDOWS, 12)
    WINDOWS_RINGBUF = tag(WINDOWS, 13)


class MapFlag(IntFlag):
    """Flags of BPF_MAP_CREATE (`BPF_F_*`)."""

    NO_PREALLOC = 1 << 0
    NO_COMMON_LRU = 1 << 1
    NUMA_NODE = 1 << 2
    RDONLY = 1 << 3
    WRONLY = 1 << 4
    STACK_BUILD_ID = 1 << 5
    ZERO_SEED = 1 << 6
    RDONLY_PROG = 1 << 7
    WRONLY_PROG = 1 << 8
    CLONE = 1 << 9
    MMAPABLE = 1 << 10
    PRESERVE_ELEMS = 1 << 11
    INNER_MAP = 1 << 12
    LINK = 1 << 13
    PATH_FD = 1 << 14
    VTYPE_BTF_OBJ_FD = 1 << 15
    TOKEN_FD = 1 << 16
    SEGV_ON_FAULT = 1 << 17
    NO_USER_CONV = 1 << 18


class UpdateFlag(IntFlag):
    """Flags of an element update or look-up (`BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST`, `BPF_F_LOCK`)."""

    ANY = 0
    NOEXIST = 1
    EXIST = 2
    LOCK = 4
