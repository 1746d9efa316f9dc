"""What a run of the fault campaign is driven with, and what it must show: files for the model."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..gen.design.design import Design
from ..hdl.readout import result_layout
from ..hdl.words import result_bits
from .expect.expectation import Expectation, Probe

WRONG_WORD = ("differs", "comes when none is due", "does not come when it is due")
WRONG_ANSWER = ("differs", "comes in another cycle", "is one too many", "never came")
NO_GAP_ABOVE = 65535  # cycles; the model reads 16 bits


class Stimulus:
    """One sample set at one pace, with what the checks expect.

    Parameters
    ----------
    design
        Without a fault.
    expectation
        Probes, words and cycles.
    stalls
        Share of cycles in which source and sink pause.
    """

    def __init__(self, design: Design, expectation: Expectation, stalls: float) -> None:
        self.design, self.expectation, self.stalls = design, expectation, stalls
        taken = expectation.prediction.layers[-1].taken
        lanes = design.input.folding.pe if design.input.folding else 1
        samples = len(expectation.raw_words) * lanes // design.input.size
        self.words = len(taken) // samples  # of results a sample
        self.ends = np.array(taken[self.words - 1 :: self.words])  # cycle of a sample's last
        self.patience = 1000 + 4 * int(np.diff(taken, prepend=0).max())

    def samples_until(self, cycle: int) -> int:
        """Return how many samples were begun by the answers until ``cycle``."""
        return min(len(self.ends), 1 + int(np.searchsorted(self.ends, cycle)))

    def explain(self, observer: str, cycle: int, index: int, sub: int) -> str:
        """Say what an observer saw first."""
        pace = "with stalls" if self.stalls else "at full speed"
        if observer == "cycle":
            probe = self.expectation.probes[index]
            what = f"{probe.layer} {probe.what}"
            return f"{what} {WRONG_WORD[sub]} in cycle {cycle} {pace}"
        sample, output = divmod(index, self.words)
        wrong = WRONG_ANSWER[max(0, sub)]
        return f"answer {output} of sample {sample} {wrong}, cycle {cycle} {pace}"

    def write(self, folder: Path, places: Sequence[tuple[list[int], int, int]]) -> None:
        """Write the files that faults_main.cpp describes."""
        expectation = self.expectation
        width = self._sample_bits()
        words = [_words(word, width) for word in expectation.raw_words]
        np.array(words, "<u4").tofile(folder / "samples")
        np.minimum(expectation.gaps, NO_GAP_ABOVE).astype("<u2").tofile(folder / "gaps")
        np.array(expectation.ready, np.uint8).tofile(folder / "ready")
        shape, expected = [len(places)], []
        for probe, (valid, offset, bits) in zip(expectation.probes, places, strict=True):
            shape += [len(valid), *valid, offset, bits, int(_is_stream(probe))]
            expected.append(len(probe.words))
            for cycle in sorted(probe.words):
                expected += [cycle, *_words(probe.words[cycle].value, bits)]
        np.array(shape, "<u4").tofile(folder / "probes")
        np.array(expected, "<u4").tofile(folder / "expected")
        np.array(list(self._results()), "<u4").tofile(folder / "results")

    def _sample_bits(self) -> int:
        entry = self.design.input
        lanes = entry.folding.pe if entry.folding else 1
        return lanes * self.design.input_format.bits

    def _results(self) -> Iterator[int]:
        """Yield cycle, word, mask of what counts, mask of the class, of every result word.

        The bulk check takes the label to count only where the word is a sample's last.
        """
        (probe,) = (probe for probe in self.expectation.probes if probe.what == "logit")
        outputs = self.design.readout.size
        beside = result_bits(logit_width=0, outputs=outputs)
        layout = result_layout(logit_width=probe.lane_bits - beside, outputs=outputs)
        field, lanes = layout["label"], outputs // self.words
        label = ((1 << field.width) - 1) << field.offset + layout.size * (lanes - 1)
        size = layout.size * lanes
        whole = (1 << size) - 1
        for k, cycle in enumerate(sorted(probe.words)):
            last = k % self.words == self.words - 1
            yield cycle
            yield from _words(probe.words[cycle].value, size)
            yield from _words(whole if last else whole & ~label, size)
            yield from _words(label if last else 0, size)


def _is_stream(probe: Probe) -> bool:
    """Whether a probe sees all events of a population: its trains, as they leave."""
    return probe.what == "train"


def _words(value: int, bits: int) -> list[int]:
    """Cut a number into uint32s, least significant first."""
    return [value >> at & 0xFFFFFFFF for at in range(0, bits, 32)]
