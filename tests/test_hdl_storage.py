"""Memories against lists, every cycle."""

import random

import pytest

from signfire.hdl.storage import Ram, Rom, rom_latency, style_attributes


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize(("depth", "width"), [(1, 3), (5, 1), (16, 12), (100, 40)])
def test_rom_gives_its_word_latency_cycles_later(play, depth, width, registered):
    rng = random.Random(depth)
    content = [rng.getrandbits(width) for _ in range(depth)]
    content[0], content[-1] = 0, (1 << width) - 1
    addresses = [rng.randrange(depth) for _ in range(50)]
    dut = Rom(content=content, width=width, registered=registered)

    seen = play(dut, [{"address": address} for address in addresses], ["data"])

    assert dut.LATENCY == rom_latency(registered=registered) == 1 + registered
    expected = [content[address] for address in addresses[: 50 - dut.LATENCY]]
    assert expected == [s["data"] for s in seen[dut.LATENCY :]]


@pytest.mark.parametrize(("depth", "width"), [(1, 4), (2, 1), (6, 9), (64, 33)])
def test_ram_gives_the_word_last_written_before_the_read(play, depth, width):
    rng = random.Random(depth)
    memory, stimuli, expected = [0] * depth, [], []
    for _ in range(200):
        enable, read = rng.randint(0, 1), rng.randrange(depth)
        write = rng.choice([a for a in range(depth) if a != read] or [0])
        enable &= write != read  # the ports keep to different words
        word = rng.getrandbits(width)
        stimuli.append(
            {
                "write_enable": enable,
                "write_address": write,
                "write_data": word,
                "read_address": read,
            }
        )
        expected.append(memory[read])
        if enable:
            memory[write] = word

    seen = play(Ram(depth=depth, width=width), stimuli, ["read_data"])

    assert expected[:-1] == [s["read_data"] for s in seen[Ram.LATENCY :]]


def test_auto_leaves_the_style_to_synthesis():
    assert {} == style_attributes("auto")
    assert {"ram_style": "distributed"} == style_attributes("distributed")


def test_an_unknown_style_is_refused():
    with pytest.raises(
        ValueError,
        match=r"^a memory style must be one of block, distributed, logic, auto, not 'huge'$",
    ):
        style_attributes("huge")
