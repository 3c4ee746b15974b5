"""Use a hash map as a mapping; iteration is batched underneath."""

from ebpf import Map, MapSpec, MapType

with Map.create(MapSpec("ports", MapType.HASH, key_size=2, value_size=8, max_entries=100)) as ports:
    for number in (22, 80, 443):
        ports[number.to_bytes(2, "little")] = (number * number).to_bytes(8, "little")
    ports.pop((80).to_bytes(2, "little"))
    for key, value in sorted(ports.items()):
        print(int.from_bytes(key, "little"), int.from_bytes(value, "little"))
