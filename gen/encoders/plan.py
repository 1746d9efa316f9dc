"""Plan of the input: what a kind of encoder states, and the numbers that all have."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..cost import Resources
from ..design.design import Design
from ..design.population import InputFormat, bits_for
from ..hardware import hardware_of
from ..model.codes import RateCode, SpikeCode
from ..model.ties import DOWN
from ..technology import Technology


@dataclass(frozen=True, kw_only=True)
class InputPlan(ABC):
    """The encoder: ``lanes`` raw values a word, fired with ``code``; a class for every kind.

    ``threshold`` is θ of integrate-and-fire neurons, in raw steps; ``None`` for others. ``ties`` is
    one of :data:`signfire.gen.model.ties.TIES`.
    """

    name: str
    size: int
    lanes: int
    code: SpikeCode | RateCode
    format: InputFormat
    technology: Technology
    threshold: int | None = None
    ties: str = DOWN

    kind: ClassVar[str]
    hardware: ClassVar[str]  # what makes the encoder, in the module rtl beside the kind

    @classmethod
    @abstractmethod
    def claims(cls, design: Design) -> bool:
        """Whether the input of a Design is of this kind; it is of one."""

    @classmethod
    def of(cls, design: Design, technology: Technology) -> Self:
        """Return the plan of the input of a Design."""
        source = design.input
        assert source.code is not None
        return cls(
            name=source.name,
            size=source.size,
            lanes=source.folding.pe if source.folding else 1,
            code=source.code,
            format=design.input_format,
            technology=technology,
            threshold=None if source.threshold is None else int(source.threshold[0]),
            ties=source.ties,
        )

    @property
    def words(self) -> int:
        """Words of a sample."""
        return self.size // self.lanes

    @property
    def steps(self) -> int:
        """Cycles for which neurons fire a word: T, or 0 where its trains stand at once."""
        return self.code.steps

    @property
    def interval(self) -> int:
        """Cycles that a sample keeps the encoder busy."""
        return self.words * max(1, self.steps)

    @property
    def raw_bits(self) -> int:
        """Bits of what stands for a raw sample, less its offset."""
        return bits_for(min(self.format.low, 0), self.format.high)

    @property
    @abstractmethod
    def membrane_width(self) -> int:
        """Signed width of v or m."""

    def encoder(self) -> Any:
        """Return the hardware, a :class:`signfire.hdl.encoder.Encoder`."""
        return hardware_of(type(self))(self)

    @abstractmethod
    def cost(self, *, linked: bool = False) -> Resources:
        """Price the encoder, ``linked`` where samples come over the host link.

        The link may bring no others than some, of which the encoder is made then: see
        :class:`..design.linkformat.SampleFormat`.
        """

    @property
    def ends(self) -> dict[str, Any]:
        """What all encoders take: lanes, least and greatest raw sample."""
        return {"lanes": self.lanes, "low": self.format.low, "high": self.format.high}
