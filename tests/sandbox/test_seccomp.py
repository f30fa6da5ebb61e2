"""bubblewrap's filter, run call by call on the virtual machine that the kernel would run it on."""

from __future__ import annotations

import errno
import struct

import pytest

from a4ps.sandbox.seccomp import ARCHITECTURES, DENIED, NEW_NAMESPACES, UNKNOWN, filter_bytes

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
CLONE = {"x86_64": 56, "aarch64": 220}
ORDINARY = {"x86_64": (0, 1, 9, 57, 59, 257), "aarch64": (56, 63, 64, 221, 222)}


def answer(machine: str, number: int, argument: int = 0, audit: int | None = None) -> int:
    """What the program says to one system call: the loads, jumps and returns of classic BPF (linux/filter.h)."""
    program = list(struct.iter_unpack("=HBBI", filter_bytes(machine)))
    data = struct.pack("=IIQ6Q", number, audit or ARCHITECTURES[machine][1], 0, argument, 0, 0, 0, 0, 0)
    at, value = 0, 0
    while True:
        code, yes, no, constant = program[at]
        at += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("=I", data, constant)
            case 0x06:
                return int(constant)
            case 0x15:
                at += yes if value == constant else no
            case 0x35:
                at += yes if value >= constant else no
            case 0x45:
                at += yes if value & constant else no
            case _:
                raise AssertionError(f"no instruction {code:#x}")


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_denies_what_it_names_and_passes_the_rest(machine: str) -> None:
    column = ARCHITECTURES[machine][0]
    for calls, refusal in ((DENIED, EPERM), (UNKNOWN, ENOSYS)):
        for name, numbers in calls.items():
            number = numbers[column]
            assert number is None or answer(machine, number) == refusal, name
    denied = {numbers[column] for calls in (DENIED, UNKNOWN) for numbers in calls.values()}
    for number in range(460):
        if number not in denied:
            assert answer(machine, number) == ALLOW, number
    assert not denied & set(ORDINARY[machine])


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_a_new_namespace_by_clone_is_denied_and_a_thread_is_not(machine: str) -> None:
    threads = 0x3D0F00
    assert answer(machine, CLONE[machine], threads | 17) == ALLOW
    for bit in range(32):
        if NEW_NAMESPACES >> bit & 1:
            assert answer(machine, CLONE[machine], threads | 1 << bit) == EPERM


def test_another_architectures_calls_are_fatal() -> None:
    """i386 on x86-64 has other numbers, and x32 has the same ones with a bit set."""
    assert answer("x86_64", 26, audit=0x40000003) == KILL
    assert answer("x86_64", 0x40000000 + 101) == KILL


def test_the_program_fits_a_pipe_and_the_kernel() -> None:
    for machine in ARCHITECTURES:
        assert len(filter_bytes(machine)) < 4096 * 8
        assert len(filter_bytes(machine)) <= 65_536
