"""Decode bytes through the BTF of an object file."""

from importlib import resources

from ebpf import CollectionSpec
from ebpf.btf import Codec, Struct, format_definition

spec = CollectionSpec.from_bytes((resources.files("ebpf.cli") / "data/firewall.o").read_bytes())
assert spec.types is not None
rule = spec.types.find("rule", Struct)
assert rule is not None

print(format_definition(rule))
print(Codec(rule).decode(bytes.fromhex("01000000 2e000000 0700000000000000")))
