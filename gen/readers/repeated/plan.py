"""Numbers of windows over repeated pixels."""

from typing import Any

from ...cost import Resources, address_bits, counter_luts
from ...design.population import DesignPopulation
from ...design.reading import is_turned, places_of
from ...model.maps import LinearMap
from ...model.maps.repeated import RepeatedPlaces
from ...model.network import INPUT
from ...technology import Technology
from ..reader import Reader
from ..scattered.plan import ScatteredReader
from ..window.plan import WindowReader


def is_repeated(linear: LinearMap) -> bool:
    """Whether a map's windows lie over repeated pixels."""
    places = places_of(linear)
    return places is not None and places.walk == RepeatedPlaces.walk


def repeating(reader: Reader, walk: dict[str, Any] | None) -> dict[str, Any]:
    """Return the numbers of a walk, see :class:`hdl.repeat_walk.RepeatWalk`."""
    assert isinstance(reader.places, RepeatedPlaces) and walk is not None
    return walk | {"repeat": reader.places.repeat}


def repeat_cost(reader: Reader) -> Resources:
    """Price which repetition of a pixel and of a line a word is, and the way back to its start."""
    walk = reader.walk
    assert walk is not None
    column = address_bits(reader.line_words) + 1
    own = walk["own"] if walk["apart"] else walk["depth"]
    lut = ff = 0
    for repeat, stride in zip(walk["repeat"], walk["stride"], strict=True):
        if repeat > 1:
            bits, moves = address_bits(repeat), stride % repeat > 0
            lut += counter_luts(repeat) + bits * (3 if moves else 1)
            ff += bits * (2 if moves else 1)
    if walk["repeat"][1] > 1:
        lut += column  # a step, or back to the start of the pixel
        if own > 1 and not walk["apart"]:
            lut += counter_luts(own)
            ff += address_bits(own)
        if walk["stride"][1] % walk["repeat"][1]:
            lut += column  # the next window begins a pixel on, or two
    return Resources(lut=lut, ff=ff)


class RepeatedReader(WindowReader):
    """Windows over repeated pixels whose source comes in raster order: its lines are held once.

    A line stays until the last row of windows that reads one of its repetitions.
    """

    kind = "repeated"
    hardware = "RepeatedWindows"

    @classmethod
    def claims(cls, source: DesignPopulation, linear: LinearMap) -> bool:
        turned = is_turned(linear, source.shape, is_input=source.function == INPUT)
        return is_repeated(linear) and not turned

    @property
    def walk(self) -> dict[str, Any]:
        return repeating(self, super().walk)

    def cost(self, technology: Technology) -> Resources:
        return super().cost(technology) + repeat_cost(self)


class RepeatedSamplesReader(ScatteredReader):
    """Windows over repeated pixels whose source comes in another order than they read it."""

    kind = "repeated, scattered"
    hardware = "RepeatedSamples"

    @classmethod
    def claims(cls, source: DesignPopulation, linear: LinearMap) -> bool:
        turned = is_turned(linear, source.shape, is_input=source.function == INPUT)
        return is_repeated(linear) and turned

    @property
    def walk(self) -> dict[str, Any]:
        return repeating(self, super().walk)

    def cost(self, technology: Technology) -> Resources:
        return super().cost(technology) + repeat_cost(self)
