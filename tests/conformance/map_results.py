"""Step by step, which types of map answer what: measured on Linux 6.18. "ok" is followed by the value, if any."""

from __future__ import annotations

RESULTS: dict[str, dict[str, dict[str, str]]] = {
    "elements": {
        "lookup missing": {
            "ENOENT": (
                "HASH ARRAY PROG_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE "
                "ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
            "ENOTSUPP": "PERF_EVENT_ARRAY RINGBUF",
            "EOPNOTSUPP": "XSKMAP",
        },
        "lookup unknown flag": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "lookup with lock": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "lookup with NOEXIST": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "lookup without key": {
            "EFAULT": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH"
            ),
            "ENOENT": "QUEUE STACK BLOOM_FILTER",
            "ENOTSUPP": "RINGBUF",
        },
        "lookup with 8-byte key": {
            "EINVAL": "QUEUE STACK RINGBUF BLOOM_FILTER",
            "ENOENT": (
                "HASH PROG_ARRAY PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS "
                "DEVMAP CPUMAP DEVMAP_HASH"
            ),
            "ENOTSUPP": "PERF_EVENT_ARRAY",
            "EOPNOTSUPP": "XSKMAP",
            "ok 0000000000000000": "ARRAY PERCPU_ARRAY",
        },
        "lookup missing without room": {
            "EFAULT": "BLOOM_FILTER",
            "ENOENT": (
                "HASH ARRAY PROG_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE "
                "ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP DEVMAP_HASH QUEUE STACK"
            ),
            "ENOTSUPP": "PERF_EVENT_ARRAY RINGBUF",
            "EOPNOTSUPP": "XSKMAP",
        },
        "first key": {
            "EINVAL": "QUEUE STACK",
            "ENOENT": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS DEVMAP_HASH",
            "ENOTSUPP": "RINGBUF",
            "EOPNOTSUPP": "BLOOM_FILTER",
            "ok": "ARRAY_OF_MAPS",
            "ok 0000000000000000": "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY DEVMAP CPUMAP XSKMAP",
        },
        "update": {
            "EBADF": "PERF_EVENT_ARRAY XSKMAP",
            "EINVAL": "PROG_ARRAY",
            "ENOTSUPP": "RINGBUF",
            "ok": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS "
                "HASH_OF_MAPS DEVMAP CPUMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "update NOEXIST": {
            "EBADF": "XSKMAP",
            "EEXIST": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS DEVMAP "
                "CPUMAP DEVMAP_HASH"
            ),
            "EINVAL": "PROG_ARRAY PERF_EVENT_ARRAY ARRAY_OF_MAPS QUEUE STACK BLOOM_FILTER",
            "ENOTSUPP": "RINGBUF",
        },
        "update EXIST": {
            "EBADF": "XSKMAP",
            "EINVAL": "PROG_ARRAY PERF_EVENT_ARRAY ARRAY_OF_MAPS BLOOM_FILTER",
            "ENOTSUPP": "RINGBUF",
            "ok": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS DEVMAP "
                "CPUMAP DEVMAP_HASH QUEUE STACK"
            ),
        },
        "update both": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK "
                "BLOOM_FILTER"
            ),
            "ENOTSUPP": "RINGBUF",
        },
        "update LOCK": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "update NOEXIST LOCK": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "update unknown flag": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK "
                "BLOOM_FILTER"
            ),
            "ENOTSUPP": "RINGBUF",
        },
        "update flag in upper half": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK "
                "BLOOM_FILTER"
            ),
            "ENOTSUPP": "RINGBUF",
        },
        "update EXIST of missing": {
            "E2BIG": "CPUMAP",
            "EBADF": "XSKMAP",
            "EINVAL": "PROG_ARRAY PERF_EVENT_ARRAY ARRAY_OF_MAPS BLOOM_FILTER",
            "ENOENT": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS",
            "ENOTSUPP": "RINGBUF",
            "ok": "ARRAY PERCPU_ARRAY DEVMAP DEVMAP_HASH QUEUE STACK",
        },
        "update NOEXIST of 1": {
            "E2BIG": "CPUMAP",
            "EBADF": "XSKMAP",
            "EEXIST": "ARRAY PERCPU_ARRAY DEVMAP DEVMAP_HASH",
            "EINVAL": "PROG_ARRAY PERF_EVENT_ARRAY ARRAY_OF_MAPS QUEUE STACK BLOOM_FILTER",
            "ENOTSUPP": "RINGBUF",
            "ok": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS",
        },
        "update without key": {
            "EFAULT": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH"
            ),
            "ENOTSUPP": "RINGBUF",
            "ok": "QUEUE STACK BLOOM_FILTER",
        },
        "update without value": {
            "EFAULT": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK "
                "BLOOM_FILTER"
            ),
            "ENOTSUPP": "RINGBUF",
        },
        "lookup 0": {
            "ENOENT": "PROG_ARRAY BLOOM_FILTER",
            "ENOTSUPP": "PERF_EVENT_ARRAY RINGBUF",
            "EOPNOTSUPP": "XSKMAP",
            "ok": "ARRAY_OF_MAPS HASH_OF_MAPS",
            "ok 0100000000000000": "DEVMAP DEVMAP_HASH",
            "ok 0102030405060708": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE QUEUE STACK"
            ),
            "ok 4000000000000000": "CPUMAP",
        },
        "lookup 1": {
            "ENOENT": "PROG_ARRAY ARRAY_OF_MAPS CPUMAP BLOOM_FILTER",
            "ENOTSUPP": "PERF_EVENT_ARRAY RINGBUF",
            "EOPNOTSUPP": "XSKMAP",
            "ok": "HASH_OF_MAPS",
            "ok 0100000000000000": "DEVMAP DEVMAP_HASH",
            "ok 0102030405060708": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE QUEUE STACK"
            ),
        },
        "update 2": {
            "E2BIG": "CPUMAP QUEUE STACK",
            "EBADF": "PERF_EVENT_ARRAY XSKMAP",
            "EINVAL": "PROG_ARRAY",
            "ENOTSUPP": "RINGBUF",
            "ok": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS "
                "HASH_OF_MAPS DEVMAP DEVMAP_HASH BLOOM_FILTER"
            ),
        },
        "update 3": {
            "E2BIG": "CPUMAP QUEUE STACK",
            "EBADF": "PERF_EVENT_ARRAY XSKMAP",
            "EINVAL": "PROG_ARRAY",
            "ENOTSUPP": "RINGBUF",
            "ok": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS "
                "HASH_OF_MAPS DEVMAP DEVMAP_HASH BLOOM_FILTER"
            ),
        },
        "update 4 of full": {
            "E2BIG": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY ARRAY_OF_MAPS HASH_OF_MAPS "
                "DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK"
            ),
            "ENOSPC": "LPM_TRIE",
            "ENOTSUPP": "RINGBUF",
            "ok": "BLOOM_FILTER",
        },
        "update 5 of full": {
            "E2BIG": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY ARRAY_OF_MAPS HASH_OF_MAPS "
                "DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK"
            ),
            "ENOSPC": "LPM_TRIE",
            "ENOTSUPP": "RINGBUF",
            "ok": "BLOOM_FILTER",
        },
        "update 0xffffffff of full": {
            "E2BIG": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY ARRAY_OF_MAPS HASH_OF_MAPS "
                "DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK"
            ),
            "ENOSPC": "LPM_TRIE",
            "ENOTSUPP": "RINGBUF",
            "ok": "BLOOM_FILTER",
        },
        "delete with flag": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "delete without key": {
            "EFAULT": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH"
            ),
            "EINVAL": "QUEUE STACK",
            "ENOTSUPP": "RINGBUF",
            "EOPNOTSUPP": "BLOOM_FILTER",
        },
        "delete out of range": {
            "E2BIG": "PROG_ARRAY PERF_EVENT_ARRAY ARRAY_OF_MAPS",
            "EINVAL": "ARRAY PERCPU_ARRAY DEVMAP CPUMAP XSKMAP QUEUE STACK",
            "ENOENT": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS DEVMAP_HASH",
            "ENOTSUPP": "RINGBUF",
            "EOPNOTSUPP": "BLOOM_FILTER",
        },
        "take with NOEXIST": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "take with lock": {
            "EINVAL": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "take missing": {
            "ENOENT": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH",
            "ENOTSUPP": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP "
                "CPUMAP XSKMAP DEVMAP_HASH RINGBUF BLOOM_FILTER"
            ),
            "ok 0102030405060708": "QUEUE STACK",
        },
        "delete 1": {
            "EINVAL": "ARRAY PERCPU_ARRAY CPUMAP QUEUE STACK",
            "ENOENT": "PROG_ARRAY PERF_EVENT_ARRAY ARRAY_OF_MAPS",
            "ENOTSUPP": "RINGBUF",
            "EOPNOTSUPP": "BLOOM_FILTER",
            "ok": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH",
        },
        "delete 1 again": {
            "EINVAL": "ARRAY PERCPU_ARRAY CPUMAP QUEUE STACK",
            "ENOENT": (
                "HASH PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE "
                "ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP_HASH"
            ),
            "ENOTSUPP": "RINGBUF",
            "EOPNOTSUPP": "BLOOM_FILTER",
            "ok": "DEVMAP XSKMAP",
        },
        "next key of missing": {
            "EINVAL": "QUEUE STACK",
            "ENOTSUPP": "RINGBUF",
            "EOPNOTSUPP": "BLOOM_FILTER",
            "ok": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH"
            ),
        },
        "walk": {
            "00000000 01000000 02000000 03000000 ENOENT": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY ARRAY_OF_MAPS DEVMAP XSKMAP"
            ),
            "00000000 02000000 03000000 ENOENT": ("HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH HASH_OF_MAPS DEVMAP_HASH"),
            "00000000 ENOENT": "CPUMAP",
            "2000000000000000 2000000002000000 2000000003000000 ENOENT": "LPM_TRIE",
            "EINVAL": "QUEUE STACK",
            "ENOTSUPP": "RINGBUF",
            "EOPNOTSUPP": "BLOOM_FILTER",
        },
    },
    "take": {
        "update 0": {
            "EBADF": "PERF_EVENT_ARRAY XSKMAP",
            "EINVAL": "PROG_ARRAY",
            "ENOTSUPP": "RINGBUF",
            "ok": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS "
                "HASH_OF_MAPS DEVMAP CPUMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "take 0": {
            "ENOTSUPP": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP "
                "CPUMAP XSKMAP DEVMAP_HASH RINGBUF BLOOM_FILTER"
            ),
            "ok 0102030405060708": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH QUEUE STACK",
        },
        "take 0 again": {
            "ENOENT": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH QUEUE STACK",
            "ENOTSUPP": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP "
                "CPUMAP XSKMAP DEVMAP_HASH RINGBUF BLOOM_FILTER"
            ),
        },
    },
    "batches": {
        "update 4": {
            "ENOTSUPP 4": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
            "ok 4": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
        },
        "update none": {
            "ENOTSUPP 0": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
            "ok 0": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
        },
        "update EXIST in elem_flags": {
            "EINVAL 2": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "ENOTSUPP 2": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "update LOCK in elem_flags": {
            "EINVAL 2": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "ENOTSUPP 2": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "update with flags": {
            "ENOTSUPP 4": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
            "ok 4": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
        },
        "update without keys": {
            "EFAULT 0": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "ENOTSUPP 4": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "update without values": {
            "EFAULT 0": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "ENOTSUPP 4": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "lookup all": {
            "ENOENT 4": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "ENOTSUPP 8": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "lookup none": {
            "ENOTSUPP 0": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
            "ok 0": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
        },
        "lookup NOEXIST in elem_flags": {
            "EINVAL 8": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "ENOTSUPP 8": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "lookup LOCK in elem_flags": {
            "EINVAL 8": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "ENOTSUPP 8": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "lookup with flags": {
            "EINVAL 8": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH HASH_OF_MAPS",
            "ENOENT 4": "ARRAY PERCPU_ARRAY LPM_TRIE ARRAY_OF_MAPS",
            "ENOTSUPP 8": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "lookup without out_batch": {
            "EFAULT 0": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH HASH_OF_MAPS",
            "EFAULT 4": "ARRAY PERCPU_ARRAY LPM_TRIE ARRAY_OF_MAPS",
            "ENOTSUPP 8": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "lookup without keys": {
            "EFAULT 0": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "ENOTSUPP 8": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "lookup without values": {
            "EFAULT 0": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "ENOTSUPP 8": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "walk": {
            "00000000 01000000 02000000 03000000 ENOENT": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "2000000000000000 2000000001000000 2000000002000000 2000000003000000 ENOENT": "LPM_TRIE",
            "ENOTSUPP": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "delete 2": {
            "ENOTSUPP 2": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY ARRAY_OF_MAPS DEVMAP CPUMAP XSKMAP "
                "DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
            "ok 2": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS",
        },
        "delete 2 again": {
            "ENOENT 0": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS",
            "ENOTSUPP 2": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY ARRAY_OF_MAPS DEVMAP CPUMAP XSKMAP "
                "DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "delete none": {
            "ENOTSUPP 0": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY ARRAY_OF_MAPS DEVMAP CPUMAP XSKMAP "
                "DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
            "ok 0": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS",
        },
        "delete NOEXIST in elem_flags": {
            "EINVAL 2": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS",
            "ENOTSUPP 2": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY ARRAY_OF_MAPS DEVMAP CPUMAP XSKMAP "
                "DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "take all": {
            "ENOENT 2": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH HASH_OF_MAPS",
            "ENOTSUPP 8": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY LPM_TRIE ARRAY_OF_MAPS DEVMAP CPUMAP XSKMAP "
                "DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "take all again": {
            "ENOENT 0": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH HASH_OF_MAPS",
            "ENOTSUPP 8": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY LPM_TRIE ARRAY_OF_MAPS DEVMAP CPUMAP XSKMAP "
                "DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "update 8 of full": {
            "E2BIG 4": "HASH ARRAY PERCPU_HASH PERCPU_ARRAY ARRAY_OF_MAPS HASH_OF_MAPS",
            "ENOSPC 4": "LPM_TRIE",
            "ENOTSUPP 8": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "walk of full": {
            "00000000 01000000 02000000 03000000 ENOENT": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
            "2000000000000000 2000000001000000 2000000002000000 2000000003000000 ENOENT": "LPM_TRIE",
            "ENOTSUPP": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
    },
    "frozen": {
        "update before": {
            "EBADF": "PERF_EVENT_ARRAY XSKMAP",
            "EINVAL": "PROG_ARRAY",
            "ENOTSUPP": "RINGBUF",
            "ok": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS "
                "HASH_OF_MAPS DEVMAP CPUMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "freeze": {
            "ok": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "freeze again": {
            "EPERM": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "update": {
            "EPERM": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "lookup": {
            "ENOENT": "PROG_ARRAY BLOOM_FILTER",
            "ENOTSUPP": "PERF_EVENT_ARRAY RINGBUF",
            "EOPNOTSUPP": "XSKMAP",
            "ok": "ARRAY_OF_MAPS HASH_OF_MAPS",
            "ok 0100000000000000": "DEVMAP DEVMAP_HASH",
            "ok 0102030405060708": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE QUEUE STACK"
            ),
            "ok 4000000000000000": "CPUMAP",
        },
        "take": {
            "EPERM": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "delete": {
            "EPERM": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "first key": {
            "EINVAL": "QUEUE STACK",
            "ENOTSUPP": "RINGBUF",
            "EOPNOTSUPP": "BLOOM_FILTER",
            "ok": "ARRAY_OF_MAPS HASH_OF_MAPS",
            "ok 0000000000000000": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "DEVMAP CPUMAP XSKMAP DEVMAP_HASH"
            ),
            "ok 2000000000000000": "LPM_TRIE",
        },
        "update batch": {
            "EPERM 2": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "lookup batch": {
            "ENOENT 1": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS",
            "ENOENT 4": "ARRAY PERCPU_ARRAY",
            "ENOTSUPP 8": (
                "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF BLOOM_FILTER"
            ),
        },
        "delete batch": {
            "EPERM 2": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
        "take batch": {
            "EPERM 8": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP CPUMAP XSKMAP DEVMAP_HASH QUEUE STACK RINGBUF "
                "BLOOM_FILTER"
            ),
        },
    },
    "read only": {
        "update": {
            "EPERM": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "lookup": {
            "ENOENT": (
                "HASH PROG_ARRAY PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS "
                "DEVMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
            "ENOTSUPP": "PERF_EVENT_ARRAY",
            "EOPNOTSUPP": "XSKMAP",
            "ok 0000000000000000": "ARRAY PERCPU_ARRAY",
        },
        "take": {
            "EPERM": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "delete": {
            "EPERM": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "first key": {
            "EINVAL": "QUEUE STACK",
            "ENOENT": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS DEVMAP_HASH",
            "EOPNOTSUPP": "BLOOM_FILTER",
            "ok": "ARRAY_OF_MAPS",
            "ok 0000000000000000": "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY DEVMAP XSKMAP",
        },
        "update batch": {
            "EPERM 2": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "lookup batch": {
            "ENOENT 0": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS",
            "ENOENT 4": "ARRAY PERCPU_ARRAY",
            "ENOTSUPP 8": "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER",
        },
        "delete batch": {
            "EPERM 2": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "take batch": {
            "EPERM 8": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
    },
    "write only": {
        "update": {
            "EBADF": "PERF_EVENT_ARRAY XSKMAP",
            "EINVAL": "PROG_ARRAY",
            "ok": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS "
                "HASH_OF_MAPS DEVMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "lookup": {
            "EPERM": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "take": {
            "EPERM": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "delete": {
            "EINVAL": "ARRAY PERCPU_ARRAY QUEUE STACK",
            "ENOENT": "PROG_ARRAY PERF_EVENT_ARRAY",
            "EOPNOTSUPP": "BLOOM_FILTER",
            "ok": (
                "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP "
                "XSKMAP DEVMAP_HASH"
            ),
        },
        "first key": {
            "EPERM": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "update batch": {
            "ENOTSUPP 2": "PROG_ARRAY PERF_EVENT_ARRAY DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER",
            "ok 2": (
                "HASH ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS"
            ),
        },
        "lookup batch": {
            "EPERM 8": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
        "delete batch": {
            "ENOTSUPP 2": (
                "ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_ARRAY ARRAY_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH "
                "QUEUE STACK BLOOM_FILTER"
            ),
            "ok 2": "HASH PERCPU_HASH LRU_HASH LRU_PERCPU_HASH LPM_TRIE HASH_OF_MAPS",
        },
        "take batch": {
            "EPERM 8": (
                "HASH ARRAY PROG_ARRAY PERF_EVENT_ARRAY PERCPU_HASH PERCPU_ARRAY LRU_HASH LRU_PERCPU_HASH "
                "LPM_TRIE ARRAY_OF_MAPS HASH_OF_MAPS DEVMAP XSKMAP DEVMAP_HASH QUEUE STACK BLOOM_FILTER"
            ),
        },
    },
}
"""Section → step → result → names of the types."""
