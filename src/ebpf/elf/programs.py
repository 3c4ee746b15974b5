"""What a section's name says about its programs."""

from __future__ import annotations

from ebpf.abi.linux.sections import SECTION_RULES, SectionRule
from ebpf.abi.types import AttachType, ProgramFlag, ProgramType
from ebpf.plain import NamedTuple


class ProgramKind(NamedTuple):
    """What a section name stands for."""

    type: ProgramType
    attach_type: AttachType | None
    attach_to: str
    flags: ProgramFlag
    autoload: bool


def classify_section(name: str) -> ProgramKind:
    """Look a section's name up: libbpf's exact names first of all, and any name that begins with one of them.

    A leading `?` keeps its programs out of a load. An unknown name is of type UNSPEC.
    """
    bare = name.removeprefix("?")
    autoload = bare == name
    for rule in SECTION_RULES:
        attach_to = _match(bare, rule)
        if attach_to is not None:
            # libbpf ignores what follows struct_ops/: the member that points at the program says it.
            attach_to = "" if rule.type is ProgramType.STRUCT_OPS else attach_to
            return ProgramKind(rule.type, rule.attach_type, attach_to, rule.flags, autoload)
    return ProgramKind(ProgramType.UNSPEC, None, "", ProgramFlag(0), autoload)


def _match(name: str, rule: SectionRule) -> str | None:
    """Return the target that a matching name carries, None for a name that does not match."""
    if not rule.pattern.endswith("+"):
        return "" if name.startswith(rule.pattern) else None
    head, _, target = name.partition("/")
    return target if head == rule.pattern[:-1] else None
