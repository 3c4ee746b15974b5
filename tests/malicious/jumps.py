"""Code shaped to confuse: dense nests of jumps, far jumps, halves of constants, ways that lead outside."""

from __future__ import annotations

import random

from ebpf.abi.linux import EINVAL
from tests.malicious.case import Case, refused, returns
from tests.malicious.pointers import EXIT


def _ladder(steps: int) -> str:
    """Two ways at every step, and each step counts which was taken."""
    rungs = "; ".join(
        f"if r2 & {1 << n % 16} goto a{n}; r0 += 1; goto b{n}; a{n}: r0 += 3; b{n}: r2 += 7" for n in range(steps)
    )
    return f"r0 = 0; r2 = 5; {rungs}; exit"


def _ladder_result(steps: int) -> int:
    result, r2 = 0, 5
    for n in range(steps):
        result, r2 = result + (3 if r2 & 1 << n % 16 else 1), r2 + 7
    return result


def _maze(seed: int, rooms: int = 60) -> tuple[int, str]:
    """Rooms that jump to one another by what r1 is, until a counter says that it is enough; and what comes out."""
    choose = random.Random(seed)
    doors = [(choose.randrange(rooms), choose.randrange(rooms), choose.randrange(1, 1 << 20)) for _ in range(rooms)]
    parts = ["r0 = 0; r1 = 1; r2 = 0"]
    for at, (left, right, step) in enumerate(doors):
        parts.append(
            f"m{at}: r2 += 1; if r2 > 500 goto out; r1 *= 5; r1 += {step}; w1 = w1; r0 ^= r1; w0 = w0"
            f"; if r1 & 64 goto m{left}; goto m{right}"
        )
    # Every room has a way in, or the loader says that it can't be reached.
    entries = "; ".join(f"if r1 == {at + 2} goto m{at}" for at in range(rooms))
    text = "; ".join([parts[0], entries, "goto m0", *parts[1:], "out: exit"])
    r0, r1, at = 0, 1, 0
    for _ in range(500):
        left, right, step = doors[at]
        r1 = (r1 * 5 + step) & 0xFFFFFFFF
        r0 ^= r1
        at = left if r1 & 64 else right
    return r0, text


def _filler(count: int) -> str:
    return "; ".join(["r1 += 1"] * count)


def _chain(links: int) -> str:
    back = "; ".join(f"j{n}: goto j{n - 1}" for n in range(1, links))
    return f"r0 = 5; goto j{links - 1}; {back}; j0: exit"


def _table(entries: int) -> str:
    tests = "; ".join(f"if r1 == {n} goto t{n}" for n in range(entries))
    bodies = "; ".join(f"t{n}: r0 = {n}; exit" for n in range(entries))
    return f"r0 = 0; r1 = {entries - 1}; {tests}; exit; {bodies}"


def _exits(count: int) -> str:
    body = "; ".join(
        f"r1 = {n}; if r1 != {n} goto x{n}; goto y{n}; x{n}: r0 = 9; exit; y{n}: r2 = 0" for n in range(count)
    )
    return f"r0 = 4; {body}; exit"


DENSE = {
    "ladder of 10": (_ladder_result(10), _ladder(10)),
    "ladder of 200": (_ladder_result(200), _ladder(200)),
    **{f"maze {seed}": _maze(seed) for seed in range(6)},
    "chain of 1,000 jumps backwards": (5, _chain(1000)),
    "table of 300 conditions": (299, _table(300)),
    "exits everywhere": (4, _exits(40)),
    "every instruction jumps": (99, "r0 = 99; goto a; b: goto c; d: goto e; a: goto b; c: goto d; e: exit"),
    "jump to the next instruction": (3, """
        r0 = 3; goto +0; if r0 == 3 goto +0; gotol +0; if w0 != 3 goto +0; may_goto +0; exit"""),
    "long jump back over 33,000 instructions": (2, f"""
        r0 = 0; goto in; out: exit; back: r0 += 1; if r0 == 2 goto out
        in: r2 = 1; if r2 == 0 goto on; gotol end; on: {_filler(33_000)}; end: gotol back"""),
    "loop with two entries": (11, """
        r0 = 0; r1 = 3; if r1 == 3 goto middle; again: r0 += 1
        middle: r0 += 2; r1 += 1; if r1 < 7 goto again; exit"""),
    "loops that share their heads": (24, """
        r0 = 0; r1 = 0; a: r1 += 1; b: r0 += 1; r2 = r0; r2 &= 3; if r2 != 0 goto b; if r1 < 6 goto a; exit"""),
    "may_goto out of three loops": (27, """
        r0 = 0; r1 = 0; a: r2 = 0; b: r3 = 0; c: r0 += 1; r3 += 1; may_goto out; if r3 < 3 goto c
        r2 += 1; if r2 < 3 goto b; r1 += 1; if r1 < 3 goto a; out: exit"""),
    "function called from both sides": (6, """
        r1 = 3; call f; r1 = r0; call f; exit
        f: r0 = r1; r0 += r1; if r0 < 100 goto g; r0 = 0; g: r0 -= 2; exit"""),
}  # fmt: skip
OUTSIDE = {
    "jump behind the end": f"goto +5; {EXIT}",
    "jump before the start": f"goto -5; {EXIT}",
    "jump just behind the end": f"if r1 == 0 goto +2; {EXIT}",
    "long jump behind the end": f"gotol +100000; {EXIT}",
    "long jump by the smallest number": f"gotol -0x80000000; {EXIT}",
    "jump into the middle of a constant": f"goto +1; r1 = 5 ll; {EXIT}",
    "jump back into the middle of a constant": "r1 = 5 ll; r0 = 0; goto -3",
    "jump into a function": f"goto f; call f; {EXIT}; f: {EXIT}",
    "jump out of a function": f"call f; out: {EXIT}; f: goto out",
    "falls off the end": "r0 = 0",
    "falls off the end after a branch": f"r0 = 0; if r0 == 1 goto out; goto on; out: {EXIT}; on: r0 = 1",
    "falls off into a function": f"call f; r0 = 0; f: {EXIT}",
    "call at the end": f"goto on; f: {EXIT}; on: call f",
    "code that nothing reaches": f"{EXIT}; r0 = 1; exit",
    "island of code": f"{EXIT}; a: goto b; b: goto a",
    "constant whose second half is an instruction": "goto on; on: .insn 0x05, 0, 0, 0, 1; exit",
    "constant with a wrong source": f"r1 = btf_id[7] ll; {EXIT}",
    "may_goto behind the end": f"may_goto +9; {EXIT}",
    "goto with an immediate": f".insn 0x05, 0, 0, 0, 7; {EXIT}",
    "exit with a register": "r0 = 0; .insn 0x95, 1, 0, 0, 0",
    "gotox": f"r1 = 0; gotox r1; {EXIT}",
}

CASES: list[Case] = [*returns(DENSE, budget=200_000), *refused(EINVAL, OUTSIDE)]
