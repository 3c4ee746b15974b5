"""A process of its own that runs one program: `python -m benchmarks.child KIND FILE ENGINE REPEAT`.

KIND is "insns" (FILE holds instructions), "map" (the same behind a look-up in an array), "object" (FILE is an object
with one XDP program), "image" (a native image of such an object) or "bare" (nothing is run).
It prints, as JSON, how long it took from a bare `import ebpf` to the first result, and what the process then holds.
"""

from __future__ import annotations

import json
import os
import sys
import time

import ebpf

_PACKET = bytes(1500)


def main(kind: str, path: str, engine: str, repeat: str) -> None:
    """Run, and print."""
    start, cpu_start = time.perf_counter_ns(), time.process_time_ns()
    elapsed = cpu = 0
    if kind != "bare":
        with _load(kind, path, engine) as collection:
            (program,) = collection.programs.values()
            program.run(_PACKET)
            elapsed, cpu = time.perf_counter_ns() - start, time.process_time_ns() - cpu_start
            if int(repeat) > 1:
                program.run(_PACKET, repeat=int(repeat))
    imported = "llvmlite" in sys.modules
    print(json.dumps({"elapsed_ms": elapsed / 1e6, "cpu_ms": cpu / 1e6, "rss_mb": _resident(), "llvmlite": imported}))


def _load(kind: str, path: str, engine: str) -> ebpf.Collection:
    if kind == "image":
        return ebpf.Collection.load_native(path, allow_unsigned=True)
    return _read(kind, path).load(runtime="embedded", engine=engine)


def _read(kind: str, path: str) -> ebpf.CollectionSpec:
    if kind == "object":
        return ebpf.CollectionSpec.from_file(path)
    with open(path, "rb") as file:
        insns = ebpf.Instructions.decode(file.read())
    spec = ebpf.CollectionSpec()
    if kind == "map":
        spec.maps["values"] = ebpf.MapSpec("values", ebpf.MapType.ARRAY, 4, 8, 1)
        insns = ebpf.Instructions(_look_up("values") + insns)
    spec.programs["program"] = ebpf.ProgramSpec("program", ebpf.ProgramType.XDP, insns, license="GPL")
    return spec


def _look_up(name: str) -> list[ebpf.Insn]:
    """Return `r6 = r1; *(u32 *)(r10 - 4) = 0; r1 = map ll; r2 = r10; r2 += -4; call map_lookup_elem; r1 = r6`."""
    reference = ebpf.Reference(ebpf.ReferenceKind.MAP, name)
    return [
        ebpf.Insn(0xBF, 6, 1), ebpf.Insn(0x62, 10, 0, -4, 0), ebpf.Insn(0x18, 1, reference=reference),
        ebpf.Insn(0xBF, 2, 10), ebpf.Insn(0x07, 2, imm=-4), ebpf.Insn(0x85, imm=1), ebpf.Insn(0xBF, 1, 6),
    ]  # fmt: skip


def _resident() -> float | None:
    """Return the memory that the process holds, in MB (proc(5), statm); None where there is no such file."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
