"""Kinds of reader: the only place that knows all of them."""

from ..design.population import DesignPopulation
from ..model.maps import LinearMap
from .reader import Reader
from .repeated.plan import RepeatedReader, RepeatedSamplesReader
from .scattered.plan import ScatteredReader
from .summed.plan import SummedReader
from .whole.plan import WholeReader
from .window.plan import WindowReader

READERS: tuple[type[Reader], ...] = (
    WholeReader,
    SummedReader,
    WindowReader,
    ScatteredReader,
    RepeatedReader,
    RepeatedSamplesReader,
)


def reader_kind(source: DesignPopulation, linear: LinearMap) -> type[Reader]:
    """Return the kind that reads a map of a source.

    Raises
    ------
    TypeError
        If no kind does.
    """
    for kind in READERS:
        if kind.claims(source, linear):
            return kind
    raise TypeError(f"no kind of reader reads {linear.kind} maps of {source.name!r}")
