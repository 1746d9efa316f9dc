"""Numbers of whole samples."""

import numpy as np

from ...cost import Resources
from ...design.activity import busy_words
from ...design.population import DesignPopulation
from ...design.reading import WHOLE_SAMPLE, is_turned, places_of
from ...model.codes import SpikeCode
from ...model.maps import Band, LinearMap
from ...model.network import INPUT
from ...technology import Technology
from ..cost import buffer_cost, queue_cost, register_cost
from ..reader import BANKS, Reader


class WholeReader(Reader):
    """A dense map, or a sum of pixels that come in their order: whole samples, word after word.

    Words that hold no event may be left out; a sample that is one word may be read as it arrives.
    """

    kind = "whole"
    hardware = "WholeSamples"
    queue = "QueuedSamples"
    register = "RegisteredSamples"

    @classmethod
    def claims(cls, source: DesignPopulation, linear: LinearMap) -> bool:
        return reads_whole(source, linear) and not can_sum(source, linear)

    @property
    def bands(self) -> tuple[Band, ...]:
        return WHOLE_SAMPLE

    @property
    def line_words(self) -> int:
        return self.words

    @property
    def lines(self) -> int:
        return 0 if self.is_register else max(self.skew, BANKS)

    @property
    def written(self) -> tuple[int, int, int]:
        """Rows, words of the stream a row, cycles: a queue writes as many rows as a word brings."""
        wide = max(1, self.source_lanes // self.word)
        return self.line_words // wide, max(1, self.word // self.source_lanes), self.planes

    def cost(self, technology: Technology) -> Resources:
        if self.folding.skips:
            return queue_cost(self, technology)
        if self.is_register:
            return register_cost(self)
        return buffer_cost(self, technology)

    def busy(self, events: np.ndarray) -> np.ndarray:
        return busy_words(events, self.word, self.folding.unroll)[:, None]


def reads_whole(source: DesignPopulation, linear: LinearMap) -> bool:
    """Whether a map reads whole samples whose trains come in its order."""
    is_input = source.function == INPUT
    return places_of(linear) is None and not is_turned(linear, source.shape, is_input=is_input)


def can_sum(source: DesignPopulation, linear: LinearMap) -> bool:
    """Whether inputs share weights, and their trains are numbers that may be added up before."""
    code = source.train_code
    return linear.repeats > 1 and isinstance(code, SpikeCode) and code.is_binary
