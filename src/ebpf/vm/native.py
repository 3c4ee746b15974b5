"""The state of a run as native code sees it (support/machine.h): registers, frames, stacks and the table of regions."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from struct import Struct
from typing import TYPE_CHECKING

from ebpf.abi import types
from ebpf.vm.machine import MAX_FRAMES, STACK_SIZE
from ebpf.vm.memory import OFFSET_BITS, PLACES, Region
from ebpf.vm.program import Program
from ebpf.vm.values import MAP_WORDS, VALUES_WORDS, Places, places_of

if TYPE_CHECKING:
    from ebpf.codegen.image import Image
    from ebpf.vm.batch import PacketLane
    from ebpf.vm.context import Context
    from ebpf.vm.kernel import Kernel
    from ebpf.vm.lane import Lane

ABI_VERSION = 4

# Words of struct machine; the first eleven are the registers.
FRAME_POINTER = 10
AT, FUEL, ACTION, ADDRESS, SIZE, CODE, TABLE, MASK, NEXT, LIVE, CHANGES, PATIENCE, STACKS, DEPTH, NUMBERS = range(
    11, 26
)
CONTEXT, PACKET, VALUES, VALUE_PLACES, CPU, STATUS, HOST, CALLS, FRAMES = range(NUMBERS + MAX_FRAMES, 42)
FRAME_WORDS = 7
ASK, DUE = FRAMES + FRAME_WORDS * MAX_FRAMES, FRAMES + FRAME_WORDS * MAX_FRAMES + 1
RESERVED, RECORD_WORDS, MAX_RECORDS = DUE + 1, 4, 4
CLOCK_FUNCTION = RESERVED + RECORD_WORDS * MAX_RECORDS
RANDOM, WAITS = CLOCK_FUNCTION + 1, CLOCK_FUNCTION + 2
FORM = WAITS + 1
REDIRECTED, REDIRECT_WORDS = FORM + 1, 4
LOCKED = REDIRECTED + REDIRECT_WORDS
UNSEEN = LOCKED + 2
MACHINE_WORDS = UNSEEN + 1
CODE_WORDS = 4
ENTRY = 3
"""Word of struct code where the address of what runs it is."""
REFERENCE_WORDS = 4
NO_CALLER = (1 << 64) - 1
"""Where a function comes back to that the host entered."""
REFERENCE_FIRST, REFERENCE_VALUES, REFERENCE_MAP = 1, 2, 3
"""Words of struct map_ref after the map's own address; the last two are 0 of maps in Python storage."""
OPERATION_WORDS = 2
REGION_WORDS = 8
OPAQUE = 6
"""Word of struct region that keeps helpers away from it."""

# struct lane behind its machine, struct batch at its end (support/lane.h).
(LANE_CODE, FIRSTS, MAPS, REGIONS, ARGUMENT, BUDGET, LANE_PATIENCE, SLICE, GIVEN, ANSWERED, START, HIDDEN) = range(
    MACHINE_WORDS, MACHINE_WORDS + 12
)
WRITABLE, SHORTEST, LONGEST, FIELDS, TIMES, EPOCH, NOW, RUNS, KEPT, LEAVES, REFUEL, FUNCTION = range(
    MACHINE_WORDS + 12, MACHINE_WORDS + 24
)
INDEX, COUNT, SOURCE, SOURCE_SIZE, STARTS, LENGTHS, OUT, POSITION, ROOM, POSITIONS, RETVALS = range(
    MACHINE_WORDS + 24, MACHINE_WORDS + 35
)
LANE_WORDS = MACHINE_WORDS + 35
FIRST_VALUE_WORDS = 3
FUNCTION_WORDS = 8
GATE_WORDS = 6
NUMBERS_AHEAD = 1024
RANDOM_WORDS = 2 + NUMBERS_AHEAD // 2

LAYOUT = (
    ABI_VERSION,
    8 * MACHINE_WORDS,
    8 * FRAME_WORDS,
    8 * OPERATION_WORDS,
    8 * CODE_WORDS,
    8 * REGION_WORDS,
    STACK_SIZE,
    MAX_FRAMES,
    8 * LANE_WORDS,
    8 * FUNCTION_WORDS,
    8 * GATE_WORDS,
    8 * VALUES_WORDS,
    8 * MAP_WORDS,
    8 * RANDOM_WORDS,
)
"""What the image has to say about itself."""


class Action:
    """What native code is to do first (enum action)."""

    RESUME = 0
    ENTER = 1
    LEAVE = 2
    ENTER_SEEN = 3


class Stop:
    """Why native code came back (enum stop)."""

    EXIT = 0
    FUEL = 1
    HELPER = 2
    TAIL = 3
    STEP = 4
    READ = 5
    WRITE = 6
    ATOMIC = 7
    FRAMES = 8
    GROW = 9
    MAP = 10
    MAP_VALUE = 11
    COMPILED = 12
    RAISED = 13
    UNKNOWN = 14


_TO_INTERFACE, _TO_MAP = 1, 2
"""Of enum redirected."""
_REGION = Struct("<Q8I")
"""What follows the first address in struct region."""
_NO_ROOM = (0, 0, 0, 0)
_NO_REGION = array("Q", bytes(8 * REGION_WORDS))
NOWHERE = _NO_REGION.buffer_info()[0]
"""Address of a place for a region that is empty: what a run without context or packet has."""
_NO_TABLE = array("Q", bytes(8 * REGION_WORDS * PLACES))
_NO_STATE = array("Q", bytes(8 * MACHINE_WORDS))


_images: list[Image] = []
"""The first is the process's. Threads that begin at once may map more, which stay for what they have given out."""


def load_interpreter() -> Image:
    """Map the interpreter's image, once in a process. Raises ImageError."""
    if not _images:
        from ebpf.codegen.image import keep, load_image
        from ebpf.vm.epochs import SCRATCH, WORDS

        _images.append(load_image("interp", LAYOUT))
        keep(WORDS)
        keep(SCRATCH)
    return _images[0]


def waits_for_readers(kernel: Kernel | None) -> bool:
    """Whether a run that begins on this thread waits where a ring is full; kernels of tests never do."""
    waits: bool = getattr(kernel, "waits", False)
    return waits


class NativeState:
    """One struct machine and what it points to; a mirror of the address space of the run that uses it."""

    __slots__ = ("_address_of", "pointer", "stack_regions", "stacks", "table", "words")

    def __init__(self, words: int = MACHINE_WORDS) -> None:
        """Make one; `words` is the size of a structure that begins with the machine."""
        from ebpf.codegen.image import address_of, pointer

        self._address_of = address_of
        self.words = array("Q", bytes(8 * words))
        self.stacks = array("Q", bytes(STACK_SIZE * MAX_FRAMES))
        self.table = array("Q", _NO_TABLE)
        self.pointer = pointer(self.words.buffer_info()[0])
        whole = memoryview(self.stacks).cast("B")
        views = (whole[at : at + STACK_SIZE] for at in range(0, len(whole), STACK_SIZE))
        self.stack_regions = [
            Region(f"stack of frame {depth}", view, 0, STACK_SIZE, readable=True, writable=True)
            for depth, view in enumerate(views)
        ]
        self.clear()

    def clear(self) -> None:
        """Forget a run."""
        self.words[:MACHINE_WORDS] = _NO_STATE
        self.table[:] = _NO_TABLE
        self.words[STACKS] = self.stacks.buffer_info()[0]
        self.words[CALLS] = load_interpreter().table.buffer_info()[0]
        self._set_table(PLACES)
        self.point(0, 0)

    def _set_table(self, places: int) -> None:
        self.words[TABLE] = self.table.buffer_info()[0]
        self.words[MASK] = places - 1

    def enter(self, number: int, region: Region, next_number: int) -> None:
        """Enter a region, or replace what was said about it."""
        words, table, at = self.words, self.table, (number & self.words[MASK]) * REGION_WORDS
        words[NEXT] = next_number
        if table[at]:
            table[at : at + REGION_WORDS] = _NO_REGION
        else:
            words[LIVE] += 1
        start, size = region.start, region.end - region.start
        table[at] = (number << OFFSET_BITS) + start
        table[at + OPAQUE] = region.opaque
        if not size:
            return
        room = (size, size - 1, size - 3, size - 7) if size > 7 else tuple(max(size - n, 0) for n in (0, 1, 3, 7))
        may_write = tuple(max(n - region.kept, 0) for n in room) if region.kept else room
        _REGION.pack_into(
            table,
            8 * at + 8,
            self._address_of(region.data) + start,
            *(room if region.readable else _NO_ROOM),
            *(may_write if region.writable else _NO_ROOM),
        )

    def point(self, context: int, packet: int) -> None:
        """Say where in the table context and packet are."""
        self.words[CONTEXT], self.words[PACKET] = self._place(context), self._place(packet)

    def meet(self, kernel: Kernel | None, cpu: int) -> None:
        """Say on which processor the program runs, and what native code takes from its kernel without asking.

        Bare instructions have no kernel, and kernels of tests nothing to take.
        """
        words = self.words
        words[CPU] = cpu
        words[CLOCK_FUNCTION], words[RANDOM] = getattr(kernel, "native_clock", 0), getattr(kernel, "native_random", 0)

    def reach(self, places: Places) -> None:
        """Say where the values of maps are. The caller keeps `places`."""
        self.words[VALUES], self.words[VALUE_PLACES] = places.table.buffer_info()[0], len(places.maps) + 1

    def _place(self, number: int) -> int:
        return self.words[TABLE] + 8 * REGION_WORDS * (number & self.words[MASK]) if number else NOWHERE

    def leave(self, number: int) -> None:
        """Take a region out."""
        at = (number & self.words[MASK]) * REGION_WORDS
        self.table[at : at + REGION_WORDS] = _NO_REGION
        self.words[LIVE] -= 1
        numbers = self.words[RESERVED:CLOCK_FUNCTION:RECORD_WORDS]
        if number in numbers:
            self.words[RESERVED + numbers.index(number) * RECORD_WORDS] = 0

    def records(self) -> dict[int, tuple[int, int, int]]:
        """Return the records that native code has reserved: region number → address of struct map, position, size."""
        words = self.words[RESERVED:CLOCK_FUNCTION]
        found = (words[at : at + RECORD_WORDS].tolist() for at in range(0, len(words), RECORD_WORDS))
        return {number: (ring, position, size) for number, ring, position, size in found if number}

    def take_redirect(self, context: Context | PacketLane, places: Places) -> None:
        """Tell a context, or who has none, where native code has sent its packet, if it was asked to."""
        how, target, key, flags = self.words[REDIRECTED : REDIRECTED + REDIRECT_WORDS]
        if how == 0:
            return
        from ebpf.vm.context import Redirect

        self.words[REDIRECTED] = 0
        if how == _TO_INTERFACE:
            context.redirect = Redirect("redirect", target, None, flags)
        elif how == _TO_MAP:
            context.redirect = Redirect("redirect_map", places.stored_at(target).id, key, flags)
        else:
            context.redirect = None

    def take_back(self, places: Places) -> None:
        """Free the lock and discard the records of a run that was interrupted where Python knew of neither yet."""
        if self.words[LOCKED] and (value := places.find(self.words[LOCKED])) is not None:
            value.storage.view(value.number)[value.offset : value.offset + 4] = bytes(4)
            self.words[LOCKED] = 0
        if places.rings:
            for address, position, size in self.records().values():
                for ring in places.rings:
                    if ring.native.address == address:
                        ring.discard_busy(position, size)

    def grow(self, places: int, regions: Mapping[int, Region]) -> None:
        """Make a larger table with the same regions."""
        before, places_before = self.table, self.words[MASK] + 1
        self.table = array("Q", bytes(8 * REGION_WORDS * places))
        self._set_table(places)
        for number in regions:
            old, new = (number & places_before - 1) * REGION_WORDS, (number & places - 1) * REGION_WORDS
            self.table[new : new + REGION_WORDS] = before[old : old + REGION_WORDS]

    @property
    def pristine(self) -> bool:
        """Whether the table has the size that it had at first."""
        return self.words[MASK] == PLACES - 1


class NativeCode:
    """A program's operations, shared by its runs, and what each run has of its own."""

    __slots__ = ("_maps", "_operations", "_places", "_spare", "_template")

    def __init__(self, program: Program, image: Image) -> None:
        slots = program.xlated
        code = array("Q", slots)
        count = len(code)
        self._operations = array("Q", bytes(8 * OPERATION_WORDS * (count + 1)))
        operations = self._operations.buffer_info()[0]
        image.decode(code.buffer_info()[0], operations, count)
        self._template = array("Q", [operations, count, 0, image.addresses["ebpf_run"]])
        self._template.extend(array("Q", bytes(8 * REFERENCE_WORDS * len(program.maps))))
        self._maps = program.maps  # not the program, which keeps this: a cycle would keep the maps that are closed, too
        self._places = places_of(program)
        self._refer(self._template, self._places)
        self._spare: list[array[int]] = []

    def _refer(self, code: array[int], places: Places) -> None:
        """Say where maps in native storage and their values are."""
        for index, map_ in enumerate(self._maps):
            if map_.native is not None:
                at = CODE_WORDS + REFERENCE_WORDS * index
                code[at] = places.address(map_)
                if map_.type is types.MapType.ARRAY:
                    code[at + REFERENCE_FIRST] = places.first(map_)
                code[at + REFERENCE_VALUES], code[at + REFERENCE_MAP] = places.first(map_), map_.native.address

    def take(self, places: Places) -> array[int]:
        """Return a struct code and the addresses of maps, as far as they are known before one run."""
        try:
            code = self._spare.pop()
        except IndexError:
            code = array("Q", self._template)
        code[:] = self._template
        code[2] = code.buffer_info()[0] + 8 * CODE_WORDS
        if places is not self._places:
            self._refer(code, places)
        return code

    def renew(self, code: array[int], instructions: int) -> None:
        """Take note of instructions that were run: the interpreter does not get faster."""

    def follow(self, code: array[int]) -> None:
        """Keep a lane in the best code: it is there."""

    def host(self, lane: Lane) -> None:
        """Return nobody to be asked: the interpreter comes back."""

    def give_back(self, code: array[int]) -> None:
        """Keep the structure for another run."""
        self._spare.append(code)


def native_code(program: Program, image: Image) -> NativeCode:
    """Return the decoded program; decoded when it runs first. Of two threads that both do it one wins.

    The other's must not be used: nobody would keep its operations alive.
    """
    code: NativeCode | None = program.compiled.get("interpreter")
    if code is None:
        code = program.compiled.setdefault("interpreter", NativeCode(program, image))
    return code
