"""Places of windows against nested Python loops over planes, every word, with stalls."""

import random
from collections.abc import Iterator

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from signfire.gen.model.maps import WindowPlaces
from signfire.hdl.sequencer import Sequencer
from signfire.hdl.window_walk import WindowWalk

# height, width, size, stride, padding, positions; words of a pixel; tiles, planes, idle; and where
# tiles have words of their own, how many, and how many tiles share them
SHAPES = {
    "one pixel": ((1, 1, (1, 1), (1, 1), (0, 0), (1, 1)), 1, (1, 1, 0), None),
    "padded": ((5, 4, (3, 3), (1, 1), (1, 1), (5, 4)), 1, (1, 1, 0), None),
    "padded, two tiles and planes": ((5, 4, (3, 3), (1, 1), (1, 1), (5, 4)), 2, (2, 2, 1), None),
    "stride 2": ((6, 7, (3, 3), (2, 2), (1, 1), (3, 4)), 1, (2, 1, 0), None),
    "stride above the window": ((7, 7, (1, 1), (3, 2), (0, 0), (3, 4)), 3, (1, 2, 0), None),
    "lines left over": ((8, 5, (2, 2), (3, 3), (0, 0), (2, 2)), 1, (1, 1, 2), None),
    "cut off": ((7, 6, (2, 2), (2, 1), (-2, -1), (2, 4)), 1, (2, 1, 0), None),
    "nothing but padding": ((2, 2, (2, 2), (2, 2), (4, 2), (4, 3)), 1, (1, 1, 0), None),
    "the whole plane": ((4, 3, (4, 3), (1, 1), (0, 0), (1, 1)), 2, (1, 3, 0), None),
    "a signal": ((1, 9, (1, 4), (1, 2), (0, 3), (1, 6)), 2, (2, 1, 0), None),
    "apart": ((5, 4, (3, 3), (1, 1), (1, 1), (5, 4)), 3, (3, 2, 0), (1, 1)),
    "apart, pooling": ((6, 6, (2, 2), (2, 2), (0, 0), (3, 3)), 2, (2, 1, 1), (1, 1)),
    "apart, one pixel": ((3, 3, (1, 1), (1, 1), (0, 0), (3, 3)), 2, (2, 1, 0), (1, 1)),
    "groups": ((5, 4, (3, 3), (1, 1), (1, 1), (5, 4)), 6, (3, 2, 1), (2, 1)),
    "groups of tiles": ((5, 4, (2, 3), (2, 1), (0, 1), (2, 4)), 4, (6, 2, 0), (2, 3)),
    "groups of one word": ((4, 4, (1, 2), (1, 2), (0, 0), (4, 2)), 2, (4, 1, 0), (1, 2)),
}


def places(name: str) -> WindowPlaces:
    height, width, size, stride, padding, positions = SHAPES[name][0]
    return WindowPlaces(
        height=height,
        width=width,
        size=size,
        stride=stride,
        padding=padding,
        positions=positions,
    )


class Reader(wiring.Component):
    """A walk that leads a sequencer, as in a layer."""

    def __init__(self, name: str) -> None:
        self.places = where = places(name)
        _, depth, (tiles, planes, idle), apart = SHAPES[name]
        own, share = apart or (depth, 1)
        words = where.size[0] * where.size[1] * own
        self.sequencer = Sequencer(tiles=tiles, planes=planes, words=words, period=words + idle)
        self.walk = WindowWalk(
            lines=where.lines,
            height=where.height,
            width=where.width,
            depth=depth,
            size=where.size,
            stride=where.stride,
            padding=where.padding,
            positions=where.positions,
            needs=where.needs,
            releases=where.releases,
            apart=apart is not None,
            own=own,
            tiles=share,
        )
        super().__init__(
            {
                "held": In(range(where.lines + 1)),
                "credit": In(1),
                "valid": Out(1),
                "begin": Out(1),
                "line": Out(range(where.lines)),
                "row": Out(range(where.width * depth)),
                "inside": Out(1),
                "release": Out(range(where.lines + 1)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.walk, m.submodules.sequencer = walk, sequencer = self.walk, self.sequencer
        step_done = sequencer.valid & sequencer.last_word
        m.d.comb += [
            walk.held.eq(self.held),
            walk.valid.eq(sequencer.valid),
            walk.last_word.eq(sequencer.last_word),
            walk.tile_done.eq(step_done & sequencer.last_plane),
            walk.done.eq(sequencer.release),
            sequencer.full.eq(walk.full),
            sequencer.credit.eq(self.credit),
            self.valid.eq(sequencer.valid),
            self.begin.eq(sequencer.begin),
            self.line.eq(walk.line),
            self.row.eq(walk.row),
            self.inside.eq(walk.inside),
            self.release.eq(walk.release),
        ]
        return m


def words_of(name: str, samples: int) -> Iterator[tuple]:
    """Yield (line, word of the line) of every word in order, None for those outside."""
    where = places(name)
    _, depth, (tiles, planes, _), apart = SHAPES[name]
    own, share = apart or (depth, tiles)
    down, right = where.stride
    for n in range(samples):
        for i in range(where.positions[0]):
            for j in range(where.positions[1]):
                for tile in range(tiles):
                    for _ in range(planes):
                        for u in range(where.size[0]):
                            for v in range(where.size[1]):
                                y = i * down - where.padding[0] + u
                                x = j * right - where.padding[1] + v
                                inside = 0 <= y < where.height and 0 <= x < where.width
                                for d in range(tile // share * own, (tile // share + 1) * own):
                                    line = (n * where.height + y) % where.lines
                                    yield (line, x * depth + d) if inside else None


def test_words_by_hand():
    # a signal of 9 pixels of two words; the first window begins three pixels before it
    first = list(words_of("a signal", 1))[:8]

    assert [None] * 6 + [(0, 0), (0, 1)] == first


@pytest.mark.parametrize("likely", [1.0, 0.4])
@pytest.mark.parametrize("name", SHAPES)
def test_every_word_is_read_at_its_place(play, name, likely):
    rng = random.Random(name)
    dut = Reader(name)
    length = 3 * len(list(words_of(name, 2))) + 40
    stimuli = [
        {"held": dut.places.lines, "credit": int(rng.random() < likely)} for _ in range(length)
    ]

    seen = play(dut, stimuli, ["valid", "line", "row", "inside"])

    read = [(s["line"], s["row"]) if s["inside"] else None for s in seen if s["valid"]]
    wanted = list(words_of(name, 2))
    assert wanted == read[: len(wanted)]


def run_with_lines(name: str, samples: int) -> tuple[list, int]:
    """Let lines come at random into a buffer that holds few; return words read, lines given back.

    Every word that lies inside must be of a line that has come and was not given back.
    """
    rng = random.Random(name)
    dut, read = Reader(name), []
    where = dut.places
    total = samples * where.height
    wanted = len(list(words_of(name, samples)))
    counts = {"come": 0, "gone": 0}

    async def testbench(ctx):
        ctx.set(dut.credit, 1)
        for _ in range(3 * wanted + 40 * total):
            held = counts["come"] - counts["gone"]
            ctx.set(dut.held, held)
            if ctx.get(dut.valid):
                place = (ctx.get(dut.line), ctx.get(dut.row)) if ctx.get(dut.inside) else None
                read.append(place)
                there = [(counts["gone"] + k) % where.lines for k in range(held)]
                assert place is None or place[0] in there
            counts["gone"] += ctx.get(dut.release)
            assert counts["gone"] <= counts["come"]
            if counts["come"] < total and held < where.lines and rng.random() < 0.3:
                counts["come"] += 1
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return read, counts["gone"]


@pytest.mark.parametrize("name", SHAPES)
def test_windows_wait_for_their_lines_and_give_all_of_them_back(name):
    read, given_back = run_with_lines(name, 2)

    assert list(words_of(name, 2)) == read
    assert 2 * places(name).height == given_back


@pytest.mark.parametrize("name", ["padded", "apart", "stride 2"])
def test_reset_starts_over(play, name):
    dut = Reader(name)
    go = {"held": dut.places.lines, "credit": 1}
    wanted = list(words_of(name, 1))
    half = len(wanted) // 2

    seen = play(
        dut,
        [go] * half + [{"reset": 1}, {"reset": 0}] + [go] * (2 * len(wanted)),
        ["valid", "line", "row", "inside"],
    )[half + 1 :]

    read = [(s["line"], s["row"]) if s["inside"] else None for s in seen if s["valid"]]
    assert wanted == read[: len(wanted)]


def test_a_buffer_with_too_few_lines_is_refused():
    with pytest.raises(ValueError, match=r"^windows that need 3 lines do not fit 2$"):
        WindowWalk(
            lines=2,
            height=5,
            width=4,
            depth=1,
            size=(3, 3),
            stride=(1, 1),
            padding=(0, 0),
            positions=(3, 2),
            needs=(3, 3, 3),
            releases=(1, 1, 3),
        )
