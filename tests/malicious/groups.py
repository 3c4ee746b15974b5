"""The whole corpus: name of a group → its programs."""

from __future__ import annotations

from dataclasses import replace

from tests.malicious import frames, loops, pointers, stack
from tests.malicious.case import Case

_MODULES = {"pointers": pointers, "stack": stack, "loops": loops, "frames": frames}

GROUPS: dict[str, list[Case]] = {
    name: [replace(case, group=name) for case in module.CASES] for name, module in _MODULES.items()
}
CASES = [case for cases in GROUPS.values() for case in cases]
