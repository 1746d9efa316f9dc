"""Reading: in which order a layer reads the trains of its source.

Trains of planes travel in raster order: line after line, pixel after pixel, the channels of a pixel
together. A dense layer holds a whole sample; a layer of windows holds the lines that its windows
still need. Weights lie in memory in the order in which they are read, so that nothing has to turn
the data.
"""

from collections.abc import Sequence
from math import gcd

import numpy as np

from ..model.maps import Band, LinearMap, WindowPlaces, raster_order
from .folding import Folding

WHOLE_SAMPLE = (Band(windows=1, needs=1, frees=1),)  # of a dense layer, whose line is the sample


def places_of(linear: LinearMap) -> WindowPlaces | None:
    """Return the windows of a map; ``None`` where it reads whole samples."""
    return linear.places


def parallel_of(maps: Sequence[LinearMap]) -> tuple[int, str]:
    """Return the number that ``simd`` must divide for all maps into one operand, and of what."""
    each = [linear.parallel_inputs for linear in maps if not linear.apart]
    if len(each) > 1:
        return gcd(*(number for number, _ in each)), "inputs common to all sources"
    return each[0] if each else maps[0].parallel_inputs


def parallel_outputs(maps: Sequence[LinearMap]) -> tuple[int, str]:
    """Return the number that ``pe`` must divide, and of what that is the number."""
    groups = [linear.runs for linear in maps]
    if max(groups) > 1:
        return gcd(*(maps[0].channels // number for number in groups)), "outputs of a group"
    return maps[0].channels, "outputs"


def word_of(linear: LinearMap, folding: Folding) -> int:
    """Return how many neurons of its source a folded map reads at a time."""
    if linear.picked and linear.sees is not None:
        return linear.sees.planes[0]
    return folding.pe if linear.apart else folding.simd


def reading_places(linear: LinearMap, shape: tuple[int, ...], *, is_input: bool) -> np.ndarray:
    """Return where each train belongs among those of a sample as they are read, by its arrival.

    A map of planes reads pixel after pixel, the channels of a pixel together. ``shape`` is that of
    the source; ``is_input`` says that samples enter in their own order.
    """
    size = int(np.prod(shape))
    assert linear.sees is not None
    read = linear.sees.seen(np.arange(size)[None])[0].transpose(1, 2, 0).ravel()
    place = np.empty(size, np.int64)
    place[read] = np.arange(size)
    return place if is_input else place[raster_order(shape)]


def travels_in_raster_order(linear: LinearMap, shape: tuple[int, ...], *, is_input: bool) -> bool:
    """Whether the trains of a source of ``shape`` come as a map of its planes reads them.

    Samples enter in their own order, which is the raster order of one plane and of images
    (height, width, channels).
    """
    places = reading_places(linear, shape, is_input=is_input)
    return bool((places == np.arange(len(places))).all())


def is_turned(linear: LinearMap, shape: tuple[int, ...], *, is_input: bool) -> bool:
    """Whether a map reads its source in another order than the trains come in."""
    planes = linear.sees is not None
    return planes and not travels_in_raster_order(linear, shape, is_input=is_input)
