"""Places of windows over repeated pixels against nested Python loops, every word, with stalls."""

import random
from collections.abc import Iterator

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from signfire.gen.model.maps.repeated import RepeatedPlaces
from signfire.hdl.repeat_walk import RepeatWalk
from signfire.hdl.sequencer import Sequencer

# repeat, height, width, size, stride, padding, positions; words of a pixel; tiles, planes, idle;
# and where tiles have words of their own, how many, and how many tiles share them
SHAPES = {
    "one pixel": (((2, 2), 3, 2, (1, 1), (1, 1), (0, 0), (6, 4)), 1, (1, 1, 0), None),
    "padded": (((2, 2), 3, 4, (3, 3), (1, 1), (1, 1), (6, 8)), 1, (1, 1, 0), None),
    "words, tiles, planes": (((2, 2), 3, 3, (3, 3), (1, 1), (1, 1), (6, 6)), 3, (2, 2, 1), None),
    "three times": (((3, 3), 2, 3, (3, 3), (1, 1), (1, 1), (6, 9)), 2, (1, 2, 0), None),
    "stride 2 of 2": (((2, 2), 4, 3, (3, 3), (2, 2), (1, 1), (4, 3)), 2, (2, 1, 0), None),
    "stride 2 of 3": (((3, 3), 3, 3, (2, 2), (2, 2), (1, 0), (5, 4)), 2, (1, 1, 0), None),
    "stride above": (((2, 3), 5, 4, (1, 2), (5, 4), (0, 1), (2, 3)), 1, (2, 1, 0), None),
    "lines alone": (((3, 1), 3, 4, (2, 3), (1, 2), (1, 1), (9, 2)), 2, (1, 1, 2), None),
    "columns alone": (((1, 4), 3, 2, (2, 3), (1, 3), (0, 2), (2, 4)), 2, (2, 1, 0), None),
    "cut off": (((2, 3), 4, 3, (2, 2), (2, 1), (-3, -2), (2, 5)), 1, (2, 1, 0), None),
    "beyond": (((2, 2), 1, 1, (2, 2), (2, 2), (3, 4), (5, 5)), 2, (1, 1, 0), None),
    "source below the window": (((2, 2), 1, 2, (5, 5), (1, 1), (2, 2), (2, 4)), 1, (1, 1, 0), None),
    "a signal": (((1, 2), 1, 5, (1, 4), (1, 2), (0, 3), (1, 6)), 2, (2, 1, 0), None),
    "apart": (((2, 2), 3, 2, (3, 3), (1, 1), (1, 1), (6, 4)), 3, (3, 2, 0), (1, 1)),
    "apart, pooling": (((2, 3), 2, 2, (2, 2), (2, 2), (0, 0), (2, 3)), 2, (2, 1, 1), (1, 1)),
    "groups": (((2, 2), 3, 2, (3, 3), (1, 1), (1, 1), (6, 4)), 6, (3, 2, 1), (2, 1)),
    "groups of tiles": (((3, 2), 2, 3, (2, 3), (2, 1), (0, 1), (3, 6)), 4, (6, 2, 0), (2, 3)),
    "once": (((1, 1), 4, 3, (3, 3), (1, 1), (1, 1), (4, 3)), 2, (2, 1, 0), None),
}


def places(name: str) -> RepeatedPlaces:
    repeat, height, width, size, stride, padding, positions = SHAPES[name][0]
    return RepeatedPlaces(
        height=height,
        width=width,
        size=size,
        stride=stride,
        padding=padding,
        positions=positions,
        repeat=repeat,
    )


class Reader(wiring.Component):
    """A walk that leads a sequencer, as in a layer."""

    def __init__(self, name: str) -> None:
        self.places = where = places(name)
        _, depth, (tiles, planes, idle), apart = SHAPES[name]
        own, share = apart or (depth, 1)
        words = where.size[0] * where.size[1] * own
        self.sequencer = Sequencer(tiles=tiles, planes=planes, words=words, period=words + idle)
        self.walk = RepeatWalk(
            repeat=where.repeat,
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
            self.line.eq(walk.line),
            self.row.eq(walk.row),
            self.inside.eq(walk.inside),
            self.release.eq(walk.release),
        ]
        return m


def words_of(name: str, samples: int) -> Iterator[tuple | None]:
    """Yield (line, word of the line) of every word in order, None for those outside."""
    where = places(name)
    _, depth, (tiles, planes, _), apart = SHAPES[name]
    own, share = apart or (depth, tiles)
    (down, right), (high, wide) = where.stride, where.extent
    assert (high, wide) == (where.height * where.repeat[0], where.width * where.repeat[1])
    for n in range(samples):
        for i in range(where.positions[0]):
            for j in range(where.positions[1]):
                for tile in range(tiles):
                    for _ in range(planes):
                        for u in range(where.size[0]):
                            for v in range(where.size[1]):
                                y = i * down - where.padding[0] + u
                                x = j * right - where.padding[1] + v
                                inside = 0 <= y < high and 0 <= x < wide
                                for d in range(tile // share * own, (tile // share + 1) * own):
                                    line = n * where.height + y // where.repeat[0]
                                    word = x // where.repeat[1] * depth + d
                                    yield (line % where.lines, word) if inside else None


def test_words_by_hand():
    # a signal of 5 pixels, each twice, of two words; the first window begins three before it
    first = list(words_of("a signal", 1))[:24]

    assert [None] * 6 + [(0, 0), (0, 1)] == first[:8]
    # both tiles read the window again; the next one lies at -1, 0, 1, 2
    assert [None, None, (0, 0), (0, 1), (0, 0), (0, 1), (0, 2), (0, 3)] == first[16:]


def test_bands_by_hand():
    # 3 lines, each twice, padded by one; rows -1..1, 0..2, 1..3, 2..4, 3..5, 4..6
    bands = places("padded").bands

    assert [1, 2, 2, 3, 3, 3] == [band.needs for band in bands]
    assert [0, 0, 1, 1, 2, 3] == [band.frees for band in bands]
    assert 3 == places("padded").lines


@pytest.mark.parametrize("name", SHAPES)
def test_bands_are_what_loops_give(name):
    where = places(name)
    rows = [
        {
            y // where.repeat[0]
            for u in range(where.size[0])
            if 0 <= (y := i * where.stride[0] - where.padding[0] + u) < where.extent[0]
        }
        for i in range(where.positions[0])
    ]

    freed = 0
    for i, band in enumerate(where.bands):
        later = [line for row in rows[i + 1 :] for line in row]
        assert max(rows[i], default=0) < band.needs
        assert min(rows[i], default=where.height) >= freed
        if later:  # not one line more or less is given back than the windows below allow
            assert band.frees == min(rows[i + 1], default=band.frees)
            assert band.needs == max(max(rows[i], default=0) + 1, band.frees, 1)
        freed = band.frees
    assert freed == where.height


@pytest.mark.parametrize("name", SHAPES)
def test_every_word_is_read_at_its_place(play, name):
    rng = random.Random(name)
    dut = Reader(name)
    length = 2 * len(list(words_of(name, 2))) + 40
    stimuli = [{"held": dut.places.lines, "credit": int(rng.random() < 0.6)} for _ in range(length)]

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


@pytest.mark.parametrize("name", ["padded", "apart", "stride 2 of 3"])
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


def test_a_pixel_that_stands_less_than_once_is_refused():
    with pytest.raises(ValueError, match=r"^a pixel stands once or more often, not 0 times$"):
        RepeatWalk(repeat=(2, 0))
