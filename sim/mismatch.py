"""What a check found to differ, named so that a person can look it up."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """One number that is not what the golden model or the cycle model says.

    Parameters
    ----------
    layer
        Name of the population, or of the stream.
    what
        ``integrator``, ``membrane``, ``event``, ``word``, ``logit``, ...
    sample
        Index in the data.
    neuron
        Index in the layer; ``None`` where a whole word is concerned.
    step
        Time step t; ``None`` where there is none.
    cycle
        Clock cycle since the reset.
    expected, got
        The two numbers; ``None`` stands for nothing (a word that came when none was due, or none
        when one was).
    """

    layer: str
    what: str
    cycle: int
    expected: int | None
    got: int | None
    sample: int | None = None
    neuron: int | None = None
    step: int | None = None

    def __str__(self) -> str:
        place = [f"layer {self.layer}"]
        for name in ("sample", "neuron", "step"):
            value = getattr(self, name)
            if value is not None:
                place.append(f"{name} {value}")
        place.append(f"cycle {self.cycle}")
        shown = ["nothing" if value is None else str(value) for value in (self.expected, self.got)]
        return f"{', '.join(place)}: {self.what} expected {shown[0]}, got {shown[1]}"
