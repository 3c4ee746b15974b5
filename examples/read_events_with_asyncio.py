"""Read a ring buffer with `async for`."""

import asyncio

from ebpf import CollectionSpec, link
from ebpf.cli.demo import demo_files


async def main() -> None:
    with (
        demo_files() as (program, capture),
        CollectionSpec.from_file(program).load() as collection,
        collection.maps["events"].reader() as reader,
        link.packets(collection.programs["firewall"], capture),
    ):
        count = 0
        async for _ in reader:
            count += 1
        print(count, "events")


asyncio.run(main())
