"""Programs: loading, running, refusals, opening anew."""

from __future__ import annotations

import pytest

from ebpf.abi.types import AttachType, MapType, ProgramType
from ebpf.errors import ClosedError, LoadError, NotSupportedError, RelocationError, SystemCallError, VerifierError
from ebpf.objects import Map, Program
from ebpf.runtime import Runtime
from ebpf.spec import MapSpec
from ebpf.vm.engines import VARIABLE
from tests.conformance.specs import COUNT, REWRITE, collection, constant, counter_collection, hash_map, program, u64

PACKET = bytes(range(1, 15)) + bytes(50)


def test_run_returns_what_the_program_left(runtime: Runtime) -> None:
    with collection(program(REWRITE)).load(runtime=runtime) as loaded:
        result = loaded.programs["program"].run(PACKET)
        assert result.retval == 2
        assert result.data == b"\xff" + PACKET[1:]
        assert result.duration_ns >= 0


def test_run_repeats(runtime: Runtime) -> None:
    with counter_collection().load(runtime=runtime) as loaded:
        loaded.programs["program"].run(PACKET, repeat=7)
        assert loaded.maps["counter"].lookup(0) == u64(7)


def test_run_many_keeps_the_order(runtime: Runtime) -> None:
    packets = [bytes([n]) * (14 + n) for n in range(2, 30)]
    with collection(program(REWRITE)).load(runtime=runtime) as loaded:
        result = loaded.programs["program"].run_many(iter(packets))
        assert list(result.retvals) == [2] * len(packets)
        assert list(result.lengths) == [len(packet) for packet in packets]
        assert [bytes(left) for left in result.data] == [b"\xff" + packet[1:] for packet in packets]
        with pytest.raises(NotSupportedError):
            loaded.programs["program"].run_many(packets, threads=2)


def test_too_short_a_packet_is_refused(runtime: Runtime) -> None:
    with collection(constant(2)).load(runtime=runtime) as loaded:
        with pytest.raises(SystemCallError, match=r"a packet has at least 14 bytes, got 13$") as caught:
            loaded.programs["program"].run(bytes(13))
        assert caught.value.errno_name == "EINVAL"
        with pytest.raises(SystemCallError, match=r"got 0$"):
            loaded.programs["program"].run()


def test_info_and_opening_by_id(runtime: Runtime) -> None:
    with collection(hash_map(), constant(2, name="a_program_with_a_long_name")).load(runtime=runtime) as loaded:
        loaded_program = loaded.programs["a_program_with_a_long_name"]
        info = loaded_program.info()
        assert (info.type, info.name, info.gpl_compatible) == (ProgramType.XDP, "a_program_with_", True)
        assert loaded_program.stats().run_count >= 0
        with Program.open_id(loaded_program.id, runtime=runtime) as again:
            assert again.id == loaded_program.id
            assert again.type is ProgramType.XDP
            assert again.run(PACKET).retval == 2


def test_iter_all_finds_it(runtime: Runtime) -> None:
    with collection(hash_map(), constant(2)).load(runtime=runtime) as loaded:
        wanted = loaded.programs["program"].id, loaded.maps["counts"].id
        programs, maps = set(), set()
        for found in Program.iter_all(runtime=runtime):
            with found:
                programs.add(found.id)
        for other in Map.iter_all(runtime=runtime):
            with other:
                maps.add(other.id)
        assert wanted[0] in programs
        assert wanted[1] in maps


def test_a_refused_program_says_why(runtime: Runtime) -> None:
    # Falls off its end: no kernel takes that.
    with pytest.raises(LoadError) as caught:
        collection(hash_map(), program("r0 = 0")).load(runtime=runtime)
    assert caught.value.program == "program"
    assert isinstance(caught.value.__cause__, SystemCallError)


def test_a_verifier_log_comes_along(runtime: Runtime) -> None:
    with pytest.raises(VerifierError) as caught:
        collection(program("r0 = *(u64 *)(r1 + 4096)\nexit")).load(runtime=runtime)
    error = caught.value
    assert "invalid bpf_context access" in error.summary
    assert error.summary in error.log
    assert error.insn == 0
    assert error.program == "program"
    assert isinstance(error.__cause__, SystemCallError)


def test_a_refused_structure_names_its_instruction(runtime: Runtime) -> None:
    with pytest.raises(VerifierError, match="jump out of range") as caught:
        collection(program("r0 = 2\ngoto +5\nexit")).load(runtime=runtime)
    assert caught.value.insn == 1


def test_a_log_can_be_had_of_a_good_program(runtime: Runtime) -> None:
    with collection(constant(2)).load(runtime=runtime, log_level=2) as loaded:
        assert loaded.programs["program"].verifier_log
    with collection(constant(2)).load(runtime=runtime) as loaded:
        assert loaded.programs["program"].verifier_log == ""


def test_an_unknown_map_is_named(runtime: Runtime) -> None:
    with pytest.raises(RelocationError, match="no map 'counter'"):
        collection(program(COUNT)).load(runtime=runtime)


def test_bound_maps_live_as_long_as_the_program(runtime: Runtime) -> None:
    with collection(constant(2)).load(runtime=runtime) as loaded:
        bound = Map.create(hash_map(), runtime=runtime)
        number = bound.id
        loaded.programs["program"].bind_map(bound)
        bound.close()
        with Map.open_id(number, runtime=runtime) as again:
            assert again.id == number
        assert number in loaded.programs["program"].info().map_ids


def test_tail_calls_go_through_a_program_array(runtime: Runtime) -> None:
    text = "r2 = map[next] ll\nr3 = 1\ncall bpf_tail_call\nr0 = 1\nexit"
    spec = collection(
        MapSpec("next", MapType.PROG_ARRAY, 4, 4, 2, contents=[(b"\x01\0\0\0", "target")]),
        program(text),
        constant(3, name="target"),
    )
    with spec.load(runtime=runtime) as loaded:
        assert loaded.programs["program"].run(PACKET).retval == 3
        programs = loaded.maps["next"]
        assert programs.ids() == {1: loaded.programs["target"].id}  # type: ignore[attr-defined]  # a ProgramArray
        del programs[1]  # type: ignore[attr-defined]
        assert loaded.programs["program"].run(PACKET).retval == 1


def test_expected_attach_types_reach_the_kernel(runtime: Runtime) -> None:
    spec = collection(constant(1, kind=ProgramType.CGROUP_SKB, attach_type=AttachType.CGROUP_INET_INGRESS))
    with spec.load(runtime=runtime) as loaded:
        assert loaded.programs["program"].run(PACKET).retval == 1


def test_the_engine_is_named(runtime: Runtime) -> None:
    with collection(constant(2)).load(runtime=runtime) as loaded:
        names = ("interpreter", "reference") if runtime.name == "embedded" else ("kernel",)
        assert loaded.programs["program"].engine in names
        assert loaded.programs["program"].engine_reason
    with pytest.raises(NotSupportedError, match="engine 'steam'"):
        collection(constant(2)).load(runtime=runtime, engine="steam")


def test_trust_is_a_decision(runtime: Runtime) -> None:
    with pytest.raises(TypeError, match="trusted is True or False, got 'no'"):
        collection(constant(2)).load(runtime=runtime, trusted="no")  # type: ignore[arg-type]  # as callers without types may


def test_an_engine_can_be_asked_for(runtime: Runtime) -> None:
    if runtime.name != "embedded":
        with pytest.raises(NotSupportedError):
            collection(constant(2)).load(runtime=runtime, engine="reference")
        return
    with collection(constant(2)).load(runtime=runtime, engine="reference") as loaded:
        asked = loaded.programs["program"]
        assert (asked.engine, asked.engine_reason) == ("reference", "asked for")
        assert asked.run(PACKET).retval == 2


def test_an_engine_that_the_environment_asks_for_is_refused_at_load(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "steam")
    if runtime.name != "embedded":
        collection(constant(2)).load(runtime=runtime).close()  # the kernel has its own
        return
    with pytest.raises(NotSupportedError, match=r"engine 'steam' \(environment variable EBPF_ENGINE\) is not"):
        collection(constant(2)).load(runtime=runtime)
    assert not list(Program.iter_all(runtime=runtime))
    with collection(constant(2)).load(runtime=runtime, engine="reference") as loaded:
        assert loaded.programs["program"].run(PACKET).retval == 2
    monkeypatch.setenv(VARIABLE, "")
    collection(constant(2)).load(runtime=runtime).close()


def test_a_function_changes_the_packet_in_place(runtime: Runtime) -> None:
    with collection(program(REWRITE)).load(runtime=runtime) as loaded:
        if runtime.name != "embedded":
            with pytest.raises(NotSupportedError):
                loaded.programs["program"].function()
            return
        call = loaded.programs["program"].function()
        packet = bytearray(PACKET)
        assert call(packet) == 2
        assert packet == b"\xff" + PACKET[1:]


def test_closed_programs_say_so(runtime: Runtime) -> None:
    loaded = collection(constant(2)).load(runtime=runtime)
    closed = loaded.programs["program"]
    loaded.close()
    with pytest.raises(ClosedError):
        closed.run(PACKET)
