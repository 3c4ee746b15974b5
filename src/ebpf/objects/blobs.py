"""Type information loaded into a kernel (BTF_LOAD)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.types import Cmd
from ebpf.errors import MissingPrivilegeError, SystemCallError
from ebpf.log import logger
from ebpf.runtime import attrs

if TYPE_CHECKING:
    from ebpf.btf import Btf
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle


def load_btf(runtime: Runtime, types: Btf) -> Handle | None:
    """Load BTF; None (with a warning in the log) where the kernel takes none or not this one: programs and maps then
    load without types.

    Raises MissingPrivilegeError.
    """
    try:
        return runtime.own(runtime.bpf(Cmd.BTF_LOAD, attrs.BtfLoad(btf=types.raw, btf_size=len(types.raw))))
    except MissingPrivilegeError:
        raise
    except SystemCallError as error:
        logger().warning("type information not loaded, going on without: %s", error)
        return None
