"""Load a collection: type information, maps, programs, then what maps say about each other; all or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ebpf.errors import NotSupportedError
from ebpf.objects.collection import Collection
from ebpf.objects.needs import is_loaded, needed_maps, refuse_unsupported
from ebpf.objects.prepare import load_program
from ebpf.objects.sources import Sources
from ebpf.runtime import select

if TYPE_CHECKING:
    from ebpf.btf import Btf
    from ebpf.objects.map import Map
    from ebpf.objects.program import Program
    from ebpf.objects.variable import Variable
    from ebpf.runtime.base import NativeCode, Runtime
    from ebpf.runtime.handle import Handle
    from ebpf.spec import CollectionSpec, MapSpec


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
        names = needed_maps(self.spec)
        if not names:
            return  # before importing all that there is to maps
        from ebpf.objects.reuse import open_or_create, use_given

        for name in names:
            if name in given:
                map_ = use_given(self.spec.maps[name], given[name], runtime=self.runtime, sources=self.sources)
            elif self.spec.maps[name].pinning == "by_name":
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
            if self.engine != "auto":
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
