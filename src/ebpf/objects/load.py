"""Load a collection: type information, maps, programs, then what maps say about each other; all or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ebpf.abi import types
from ebpf.abi.types import ProgramType
from ebpf.errors import NotSupportedError, RelocationError, SystemCallError
from ebpf.objects.collection import Collection, Sources
from ebpf.objects.program import Program
from ebpf.runtime import attrs, select
from ebpf.runtime.load import load_program as load
from ebpf.runtime.load import log_of, object_name

if TYPE_CHECKING:
    from ebpf.asm import Insn
    from ebpf.btf import Btf
    from ebpf.objects.map import Map
    from ebpf.objects.variable import Variable
    from ebpf.runtime.base import NativeCode, Runtime
    from ebpf.runtime.handle import Handle
    from ebpf.spec import CollectionSpec, MapSpec, ProgramSpec

_TOKEN_FD = 1 << 16
_OF_A_TARGET = (ProgramType.TRACING, ProgramType.LSM, ProgramType.EXT, ProgramType.STRUCT_OPS)
"""Types that the kernel refuses without the BTF id of what they attach to, with EPERM or EINVAL and no word of it."""
_REMEDY = "this version does not resolve it; set autoload=False on the program to load the others"


def load_collection(
    spec: CollectionSpec,
    *,
    runtime: Runtime | str = "auto",
    engine: str = "auto",
    trusted: bool = False,
    pin_path: str | os.PathLike[str] | None = None,
    replace_maps: Mapping[str, Map] | None = None,
    kernel_btf: Btf | None = None,
    extra_btf: Sequence[Btf] = (),
    token: int | str = "auto",
    log_level: int = 0,
    native: NativeCode | None = None,
) -> Collection:
    """Load a spec; see `CollectionSpec.load()`. The spec is not changed and may be loaded again.

    `kernel_btf` and `extra_btf` are for CO-RE relocations, which this version refuses by name. `native` is the code of
    the image that the spec comes from.
    """
    if not isinstance(trusted, bool):  # "no" is true
        raise TypeError(f"trusted is True or False, got {trusted!r}")
    refuse_unsupported(spec)
    chosen = select(runtime, spec)
    unknown = set(replace_maps or ()) - set(spec.maps)
    if unknown:
        raise ValueError(f"replace_maps names {', '.join(sorted(unknown))}; the spec has no such map")
    with ExitStack() as unpin, ExitStack() as undo:
        loader = _Loader(spec, chosen, undo, unpin, engine=engine, trusted=trusted, token=_token(token, chosen))
        loader.make_maps(replace_maps or {}, None if pin_path is None else os.fspath(pin_path))
        loader.make_programs(log_level, native)
        loader.link_maps()
        return loader.finish()


def _token(token: int | str, runtime: Runtime) -> int | None:
    if isinstance(token, int):
        return token
    if token == "auto":
        return None
    raise NotSupportedError("a token by path", runtime=runtime.name, alternative="give the token's descriptor")


class _Loader:
    """What has been made so far; unless finish() is reached `undo` closes it and `unpin` removes its pins."""

    def __init__(
        self,
        spec: CollectionSpec,
        runtime: Runtime,
        undo: ExitStack,
        unpin: ExitStack,
        *,
        engine: str,
        trusted: bool,
        token: int | None,
    ) -> None:
        self.spec = spec
        self.runtime = runtime
        self.undo = undo
        self.unpin = unpin
        self.engine = engine
        self.trusted = trusted
        self.token = token
        self.sources = Sources()
        self.maps: dict[str, Map] = {}
        self.programs: dict[str, Program] = {}
        self.btf = self._load_types()

    def _load_types(self) -> Handle | None:
        if self.spec.types is None:
            return None
        from ebpf.objects.blobs import load_btf

        btf = load_btf(self.runtime, self.spec.types)
        if btf is not None:
            self.undo.callback(btf.close)
        return btf

    def make_maps(self, given: Mapping[str, Map], pin_path: str | None) -> None:
        for name in needed_maps(self.spec):
            if name in given:
                from ebpf.objects.reuse import use_given

                map_ = use_given(self.spec.maps[name], given[name], runtime=self.runtime, sources=self.sources)
            elif self.spec.maps[name].pinning == "by_name":
                from ebpf.objects.reuse import open_or_create

                map_ = open_or_create(
                    self.spec.maps[name],
                    pin_path,
                    runtime=self.runtime,
                    types=self.spec.types,
                    sources=self.sources,
                    create=self._create,
                    unpin=self.unpin,
                )
            else:
                map_ = self._create(self.spec.maps[name])
            self.maps[name] = map_
            self.undo.callback(map_.close)

    def _create(self, spec: MapSpec) -> Map:
        from ebpf.objects.create import create_map

        return create_map(
            spec, runtime=self.runtime, types=self.spec.types, btf=self.btf, token=self.token, sources=self.sources
        )

    def make_programs(self, log_level: int, native: NativeCode | None) -> None:
        engine_is_named = self.engine != "auto" or self.runtime.named_engine is not None
        for name, spec in self.spec.programs.items():
            if not is_loaded(spec):
                continue
            program = load_program(
                spec,
                runtime=self.runtime,
                maps=self.maps,
                types=self.spec.types,
                btf=self.btf,
                engine=self.engine,
                trusted=self.trusted,
                token=self.token,
                log_level=log_level,
                sources=self.sources,
            )
            self.programs[name] = program
            self.undo.callback(program.close)
            if native is not None:
                native.attach(program.facts)
            if engine_is_named:
                program.prepare()  # an engine that is not there must be refused here, not at the first run

    def link_maps(self) -> None:
        """Write contents that name programs and maps: both exist now."""
        for name, map_ in self.maps.items():
            contents = self.spec.maps[name].contents
            if not isinstance(contents, list):
                continue
            for key, value in contents:
                if isinstance(value, str):
                    self._link(map_, key, value)

    def _link(self, map_: Map, key: bytes, name: str) -> None:
        target = self.programs.get(name) or self.maps.get(name)
        if target is None:
            return  # a program that is not loaded leaves its slot empty
        with target.handle.borrow() as fd:
            map_.io.update(key, fd.to_bytes(4, self.spec.byte_order))

    def finish(self) -> Collection:
        """Give everything over to the collection; pins stay."""
        self.unpin.pop_all()
        return Collection(
            self.spec,
            self.runtime,
            maps=self.maps,
            programs=self.programs,
            variables=self._variables(),
            sources=self.sources,
            owned=self.undo.pop_all(),
        )

    def _variables(self) -> dict[str, Variable]:
        found = {name: one for name, one in self.spec.variables.items() if one.map.name in self.maps}
        if not found:
            return {}
        from ebpf.objects.variable import Variable

        return {name: Variable(one, self.maps[one.map.name]) for name, one in found.items()}


def load_program(
    spec: ProgramSpec,
    *,
    runtime: Runtime,
    maps: Mapping[str, Map],
    types: Btf | None,
    btf: Handle | None,
    sources: Sources,
    engine: str = "auto",
    trusted: bool = False,
    token: int | None = None,
    log_level: int = 0,
) -> Program:
    """Load one program whose maps exist.

    Raises VerifierError with the log, RelocationError for a map that is not there, LoadError, MissingPrivilegeError,
    NotSupportedError.
    """
    attr = attrs.ProgLoad(
        prog_type=spec.type,
        license=spec.license.encode() + b"\0",  # an empty license is a text too: a null pointer is EFAULT
        kern_version=spec.kernel_version,
        prog_flags=spec.flags | (_TOKEN_FD if token is not None else 0),
        prog_name=object_name(spec.name),
        prog_ifindex=spec.ifindex,
        expected_attach_type=0 if spec.attach_type is None else spec.attach_type,
        prog_token_fd=token or 0,
    )

    def with_number(insn: Insn) -> Insn:
        from ebpf.objects.mapfds import resolve

        return resolve(insn, spec, maps, held)

    with ExitStack() as held:
        insns = spec.insns.encode(sys.byteorder, with_number)
        attr.insns, attr.insn_cnt = insns, len(insns) // 8
        if btf is not None and types is not None:
            attr.prog_btf_fd = held.enter_context(btf.borrow())
            from ebpf.objects.infos import add_infos

            add_infos(attr, spec, types)
        try:
            fd = load(runtime, attr, log_level=log_level)
        except SystemCallError as error:
            from ebpf.objects.refusal import explain

            raise explain(spec, error) from error
    return Program(
        runtime,
        runtime.own(fd),
        spec,
        engine=engine,
        trusted=trusted,
        verifier_log=log_of(attr) if log_level else "",
        sources=sources,
    )


def is_loaded(program: ProgramSpec) -> bool:
    """Say whether a load takes this program: not `?` ones, nor those of an unknown section."""
    return program.autoload and program.type is not ProgramType.UNSPEC


def needed_maps(spec: CollectionSpec) -> list[str]:
    """Return the maps to create: all but a .kconfig section that no loaded program uses."""
    if ".kconfig" not in spec.maps:
        return list(spec.maps)
    from ebpf.objects.unresolved import uses_map

    used = any(uses_map(program, ".kconfig") for program in spec.programs.values() if is_loaded(program))
    return [name for name in spec.maps if used or name != ".kconfig"]


def refuse_unsupported(spec: CollectionSpec) -> None:
    """Raise NotSupportedError or RelocationError for what an object needs and load can't give on any runtime."""
    if spec.byte_order != sys.byteorder:
        raise NotSupportedError(f"loading a {spec.byte_order}-endian object", alternative="compile it for this machine")
    for name in needed_maps(spec):
        if spec.maps[name].type is types.MapType.STRUCT_OPS:
            raise NotSupportedError(f"struct_ops map {name}", alternative="remove it from the spec")
    for program in spec.programs.values():
        if is_loaded(program):
            _refuse_program(program, spec)


def _refuse_program(program: ProgramSpec, spec: CollectionSpec) -> None:
    for number, insn in enumerate(program.insns):
        if insn.core is None and insn.reference is None:
            continue
        from ebpf.objects.unresolved import need_of

        need = need_of(insn, spec)
        if need is not None:
            error = RelocationError(f"load program {program.name}: instruction {number} needs {need}; {_REMEDY}")
            error.program = program.name
            raise error
    if program.type in _OF_A_TARGET:
        raise NotSupportedError(
            f"program {program.name} of type {program.type.label}, whose target is looked up in the kernel's BTF,",
            alternative="set its autoload to False to load the others",
        )
