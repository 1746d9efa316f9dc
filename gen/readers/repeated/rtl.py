"""RTL of windows over repeated pixels."""

from typing import Any

from ....hdl.repeat_walk import RepeatWalk
from ..scattered.rtl import ScatteredSamples
from ..window.rtl import Windows


class RepeatedWindows(Windows):
    """Read windows over repeated pixels out of a :class:`LineBuffer` of their source's lines."""

    def make_walk(self, numbers: dict[str, Any]) -> RepeatWalk:
        return RepeatWalk(**numbers)


class RepeatedSamples(ScatteredSamples):
    """Read windows over repeated pixels out of a :class:`ScatterBuffer` of whole samples."""

    def make_walk(self, numbers: dict[str, Any]) -> RepeatWalk:
        return RepeatWalk(**numbers)
