"""The far ends of a serial line in C++ against bit times in fractions."""

import subprocess
from fractions import Fraction
from math import ceil
from pathlib import Path
from random import Random

import pytest

HEADER = Path(__file__).resolve().parent.parent / "sim" / "uart_pins.h"
# Standard input holds numbers. `send`: pairs of cycle and byte, pushed before that cycle; printed
# is each cycle in which the level changes, and at the end whether the sender is idle. `receive`:
# the lengths of levels in turn, high first; printed are bytes with their cycle, then how many were
# dropped and whether the receiver is idle.
MAIN = r"""
#include <cstdlib>
#include <cstring>
#include <iostream>
#include "uart_pins.h"

int main(int, char** argv) {
    const uart::BitTime bit(std::strtoull(argv[2], 0, 10), std::strtoull(argv[3], 0, 10));
    const uint64_t cycles = std::strtoull(argv[4], 0, 10);
    uint64_t a, b, cycle = 0;
    if (!std::strcmp(argv[1], "send")) {
        uart::Sender sender(bit);
        bool before = true;
        auto go = [&](uint64_t end) {
            for (; cycle < end; ++cycle) {
                const bool now = sender.level(cycle);
                if (now != before) std::cout << cycle << "\n";
                before = now;
            }
        };
        while (std::cin >> a >> b) {
            go(a);
            sender.push(b);
        }
        go(cycles);
        std::cout << sender.idle() << "\n";
    } else {
        uart::Receiver receiver(bit);
        bool level = true;
        auto go = [&](uint64_t count) {
            for (; count; --count, ++cycle)
                if (const auto byte = receiver.take(level, cycle))
                    std::cout << int(*byte) << " " << cycle << "\n";
        };
        for (; std::cin >> a; level = !level) go(a);
        std::cout << receiver.dropped() << " " << receiver.idle() << "\n";
    }
}
"""
BIT_TIMES = [
    Fraction(2),
    Fraction(12),  # 12 MHz at 1 Mbaud
    Fraction(100, 3),
    Fraction(27_000_000, 115_200),
    Fraction(12_000_000, 921_600),
    Fraction(14_318_181, 1_000_000),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pins")
    (folder / "main.cpp").write_text(MAIN)
    strict = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined")
    command = ["g++", *strict, "-I", HEADER.parent, "main.cpp", "-o", "pins"]
    subprocess.run(command, cwd=folder, check=True)

    def run(mode, bit, numbers, cycles=0):
        numerator, denominator = Fraction(bit).as_integer_ratio()
        # Numbers that share a factor mean the same bit time.
        arguments = [mode, 6 * numerator, 6 * denominator, cycles]
        done = subprocess.run(
            [folder / "pins", *map(str, arguments)],
            input=" ".join(map(str, numbers)),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return [[int(x) for x in line.split()] for line in done.stdout.splitlines()]

    return run


def frame(byte: int) -> list[int]:
    return [0, *(byte >> k & 1 for k in range(8)), 1]


def changes(starts, data, bit) -> list[int]:
    """Cycles in which a line changes on which ``data`` starts at ``starts``, any fractions."""
    found, before = [], 1
    for start, byte in zip(starts, data, strict=True):
        for k, level in enumerate(frame(byte)):
            if level != before:
                found.append(ceil(start + k * bit))
            before = level
    return found


def runs(edges, tail: int) -> list[int]:
    """Lengths of the levels between edges, the last one ``tail`` cycles long."""
    return [b - a for a, b in zip([0, *edges], edges, strict=False)] + [tail]


@pytest.mark.parametrize("bit", BIT_TIMES, ids=str)
def test_bytes_pushed_at_once_follow_each_other_without_any_drift(program, bit) -> None:
    data = [Random(1).randrange(256) for _ in range(500)]
    starts = [7 + 10 * k * bit for k in range(len(data))]
    cycles = ceil(starts[-1] + 10 * bit) + 1

    *edges, [idle] = program("send", bit, [x for byte in data for x in (7, byte)], cycles)

    assert [cycle for [cycle] in edges] == changes(starts, data, bit)
    assert idle


@pytest.mark.parametrize("bit", BIT_TIMES, ids=str)
def test_a_byte_pushed_at_the_last_moment_leaves_no_gap(program, bit) -> None:
    first, second = 0x55, 0xA3
    last = ceil(10 * bit)  # in this cycle the line is free

    *edges, _ = program("send", bit, [0, first, last, second], ceil(21 * bit))

    assert [cycle for [cycle] in edges] == changes([0, 10 * bit], [first, second], bit)


@pytest.mark.parametrize("bit", BIT_TIMES, ids=str)
def test_a_byte_after_a_pause_starts_in_the_cycle_it_is_pushed_for(program, bit) -> None:
    late = ceil(10 * bit) + 1

    *edges, _ = program("send", bit, [0, 0x0F, late, 0xF0], ceil(21 * bit))

    assert [cycle for [cycle] in edges] == changes([0, late], [0x0F, 0xF0], bit)


def test_a_sender_is_idle_only_when_the_stop_bit_is_over(program) -> None:
    assert program("send", 12, [0, 0x00], 120)[-1] == [0]
    assert program("send", 12, [0, 0x00], 121)[-1] == [1]


@pytest.mark.parametrize("bit", BIT_TIMES, ids=str)
def test_a_line_full_of_bytes_is_received_whole_and_in_the_middle_of_the_stop_bits(
    program, bit
) -> None:
    data = [Random(2).randrange(256) for _ in range(500)]
    starts = [5 + 10 * k * bit for k in range(len(data))]

    *got, [dropped, idle] = program(
        "receive", bit, runs(changes(starts, data, bit), ceil(10 * bit))
    )

    assert [byte for byte, _ in got] == data
    assert [cycle for _, cycle in got] == [ceil(ceil(s) + Fraction(19, 2) * bit) for s in starts]
    assert (dropped, idle) == (0, 1)


@pytest.mark.parametrize(
    ("rate", "good"),
    [(Fraction(96, 100), True), (Fraction(104, 100), True), (Fraction(115, 100), False)],
)
def test_a_sender_of_another_rate_is_understood_within_four_per_cent(program, rate, good) -> None:
    data, bit = [0x00, 0xFF, 0x55, 0xAA, 0x7F, 0x80], Fraction(24)
    starts = [5 + 10 * k * bit * rate for k in range(len(data))]

    *got, _ = program("receive", bit, runs(changes(starts, data, bit * rate), 500))

    assert ([byte for byte, _ in got] == data) is good


def test_a_byte_without_its_stop_bit_is_dropped_and_the_next_one_received(program) -> None:
    # 0x00 with a low stop bit and five more bits of low, a pause, then 0x01.
    line = [10, 15 * 12, 40, 12, 12, 7 * 12, 50]

    assert program("receive", 12, line) == [[1, 10 + 180 + 40 + 114], [1, 1]]


def test_a_line_held_low_is_not_idle_and_gives_no_byte(program) -> None:
    assert program("receive", 12, [10, 10_000]) == [[1, 0]]


@pytest.mark.parametrize(("length", "count"), [(5, 0), (6, 0), (7, 1)])
def test_a_start_bit_that_is_over_before_its_middle_is_noise(program, length, count) -> None:
    # Cycle 6 of the start bit is its middle; a pulse of seven cycles is seen there as 0xFF.
    got = program("receive", 12, [10, length, 300])

    assert [byte for byte, *_ in got[:-1]] == [0xFF] * count
    assert got[-1] == [0, 1]


def test_a_bit_shorter_than_two_cycles_is_refused(program) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        program("send", Fraction(3, 2), [])
