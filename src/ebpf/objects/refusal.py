"""Why a kernel refused a program: its errno and the verifier's log made into an exception (kernel/bpf/log.c)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ebpf.abi.linux import E2BIG, EACCES, EINVAL, EPERM
from ebpf.abi.linux.errtexts import TEXTS
from ebpf.errors import LoadError, MissingPrivilegeError, SystemCallError, VerifierError

if TYPE_CHECKING:
    from ebpf.asm import Instructions
    from ebpf.spec import ProgramSpec

_INSN_LINE = re.compile(r"^(\d+): \([0-9a-f]{2}\)")
_STATS_LINE = re.compile(r"^(processed \d+ insns|verification time|stack depth)")
_REGISTER = re.compile(r"\b(R\d+)(?:_w)?=(\S+)")
_NAMED_INSN = re.compile(r"\binsn (\d+)")
_SOURCE_LINE = re.compile(r"^; (.*)")


def slots(insns: Instructions) -> list[int]:
    """Return the slot of each instruction."""
    starts, slot = [], 0
    for insn in insns:
        starts.append(slot)
        slot += insn.slots
    return starts


def explain(spec: ProgramSpec, error: SystemCallError) -> LoadError | SystemCallError:
    """Say which program was refused, and why as far as the log tells."""
    log: str = getattr(error, "log", "")
    if isinstance(error, MissingPrivilegeError):
        error.add_note(f"while loading program {spec.name}")
        return error
    if not log:
        return LoadError(
            f"load program {spec.name} ({spec.type.label}): {error}{_hint(spec, error)}", program=spec.name
        )
    summary = _summary(log)
    insn = _last_insn(log, summary)
    source = _source(spec, insn) or _last_source(log)
    place = f" at {source}" if source else ""
    return VerifierError(
        f"load program {spec.name}: the verifier refused it with {error.errno_name}{place}: {summary}",
        program=spec.name,
        log=log,
        summary=summary,
        source=source,
        insn=insn,
        registers=_registers(log),
    )


def _hint(spec: ProgramSpec, error: SystemCallError) -> str:
    if TEXTS.get(error.linux_errno, "") not in str(error):
        return ""  # the embedded kernel says why
    if error.linux_errno == EINVAL:
        return "; the kernel may not know this program type, attach type or a flag"
    if error.linux_errno == E2BIG:
        return f"; it has {len(spec.insns)} instructions"
    if error.linux_errno in (EPERM, EACCES):
        return "; the kernel gave no log"
    return ""


def _summary(log: str) -> str:
    """Return the line that says why: the last one that is neither statistics nor an instruction."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    reasons = [line for line in lines if not _STATS_LINE.match(line)]
    if not reasons:
        return "no reason given"
    last = reasons[-1]
    before = reasons[-2] if len(reasons) > 1 else ""
    # Some reasons take two lines; an instruction or a register state before the last one is no reason.
    wordy = before and not _INSN_LINE.match(before) and not before.startswith((";", "R", "from ", "func#"))
    return f"{before}: {last}" if wordy and not before[0].isdigit() else last


def _last_insn(log: str, summary: str) -> int | None:
    """Return the slot that was looked at last; a refused structure names it (`jump out of range from insn 1`)."""
    found = [int(match[1]) for line in log.splitlines() if (match := _INSN_LINE.match(line))]
    if found:
        return found[-1]
    named = _NAMED_INSN.search(summary)
    return int(named[1]) if named else None


def _last_source(log: str) -> str | None:
    found = [match[1] for line in log.splitlines() if (match := _SOURCE_LINE.match(line))]
    return found[-1] if found else None


def _source(spec: ProgramSpec, slot: int | None) -> str | None:
    """Return the source line of a slot, that of the nearest instruction before it that has one."""
    if slot is None:
        return None
    found = [
        insn.source for start, insn in zip(slots(spec.insns), spec.insns, strict=True) if start <= slot and insn.source
    ]
    return str(found[-1]) if found else None


def _registers(log: str) -> Mapping[str, str] | None:
    """Return the registers of the last state in the log."""
    for line in reversed(log.splitlines()):
        found = dict(_REGISTER.findall(line))
        if found:
            return found
    return None
