"""Every command's part of `union bpf_attr` (include/uapi/linux/bpf.h, up to Linux 7.0).

These are the one table of members: the offset stands beside the name, `within` is the name of the struct inside the
union. A member of a nested struct is spelled with its struct's name in front (`link_create.tracing.cookie` is
`LinkCreate.tracing_cookie`). tests/linux compares it all with the running kernel's BTF.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf.runtime.attrs.links import (
        IterCreate,
        LinkCreate,
        LinkDetach,
        LinkUpdate,
        ProgAttach,
        ProgQuery,
        RawTracepointOpen,
        TaskFdQuery,
    )
    from ebpf.runtime.attrs.loaded import ProgAssocStructOps, ProgBindMap, ProgStreamRead, ProgTestRun
    from ebpf.runtime.attrs.maps import MapBatch, MapCreate, MapElem
    from ebpf.runtime.attrs.members import Attr, text_of
    from ebpf.runtime.attrs.objects import BtfLoad, EnableStats, GetId, ObjInfo, ObjPin, TokenCreate
    from ebpf.runtime.attrs.programs import ProgLoad
    from ebpf.runtime.attrs.table import RECORDS

__all__ = [
    "RECORDS", "Attr", "BtfLoad", "EnableStats", "GetId", "IterCreate", "LinkCreate", "LinkDetach", "LinkUpdate",
    "MapBatch", "MapCreate", "MapElem", "ObjInfo", "ObjPin", "ProgAssocStructOps", "ProgAttach", "ProgBindMap",
    "ProgLoad", "ProgQuery", "ProgStreamRead", "ProgTestRun", "RawTracepointOpen", "TaskFdQuery", "TokenCreate",
    "text_of",
]  # fmt: skip

__getattr__ = lazy_names(__name__, {
    "links": (
        "IterCreate", "LinkCreate", "LinkDetach", "LinkUpdate", "ProgAttach", "ProgQuery", "RawTracepointOpen",
        "TaskFdQuery",
    ),
    "loaded": ("ProgAssocStructOps", "ProgBindMap", "ProgStreamRead", "ProgTestRun"),
    "maps": ("MapBatch", "MapCreate", "MapElem"),
    "members": ("Attr", "text_of"),
    "objects": ("BtfLoad", "EnableStats", "GetId", "ObjInfo", "ObjPin", "TokenCreate"),
    "programs": ("ProgLoad",),
    "table": ("RECORDS",),
})  # fmt: skip
