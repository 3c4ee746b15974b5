"""Feed a capture file to an XDP program and read what it reports, without a network device."""

from ebpf import CollectionSpec, link
from ebpf.cli.demo import demo_files

with demo_files() as (program, capture), CollectionSpec.from_file(program).load() as collection:
    reader = collection.maps["events"].reader()
    with link.packets(collection.programs["firewall"], capture) as packets:
        for event in reader:  # ends when the capture is exhausted
            if event.number > 2000:
                print(event.number, event.cause.name, event.flow.destination_port)
    reader.close()
    print(dict(packets.verdicts))
