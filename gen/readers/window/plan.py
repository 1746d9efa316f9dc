"""Numbers of windows over the lines of planes."""

from ...cost import Resources
from ...design.population import DesignPopulation
from ...design.reading import is_turned, places_of
from ...model.maps import Band, LinearMap
from ...model.maps.places import PLAIN
from ...model.network import INPUT
from ...technology import Technology
from ..cost import buffer_cost, walk_cost
from ..reader import Reader


class WindowReader(Reader):
    """A map of windows whose planes come in raster order: the lines that they still need are held.

    Beyond the planes stands the train of 0.
    """

    kind = "window"
    hardware = "Windows"

    @classmethod
    def claims(cls, source: DesignPopulation, linear: LinearMap) -> bool:
        places = places_of(linear)
        if places is None or places.walk != PLAIN:
            return False
        return not is_turned(linear, source.shape, is_input=source.function == INPUT)

    @property
    def bands(self) -> tuple[Band, ...]:
        assert self.places is not None
        return self.places.bands

    @property
    def line_words(self) -> int:
        assert self.places is not None
        return self.places.width * self.pixel_words

    @property
    def lines(self) -> int:
        assert self.places is not None
        return max(self.skew, self.places.lines)

    def cost(self, technology: Technology) -> Resources:
        return buffer_cost(self, technology) + walk_cost(self)
