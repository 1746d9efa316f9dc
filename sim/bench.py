"""The cocotb side of the cycle check: drive the streams, look at every probe in every cycle.

cocotb imports this module inside the simulator; :mod:`signfire.sim.cycle` starts it and reads what
it found. What to drive and to expect stands in the JSON file that ``SIGNFIRE_BENCH`` names.
"""

import json
import os
import time
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

MOST_MISMATCHES = 64  # a shifted pipeline differs everywhere; the first ones tell


def find(dut, path: str):
    """Return the signal at a dotted path below the top module."""
    for part in path.split("."):
        dut = getattr(dut, part)
    return dut


class Source:
    """Offer raw words, each after its gap."""

    def __init__(self, dut, words: list[int], gaps: list[int]) -> None:
        self.valid, self.ready = dut.samples_valid, dut.samples_ready
        self.payload = dut.samples_payload
        self.words, self.gaps = words, gaps
        self.next, self.wait, self.offering = 0, gaps[0], False

    def drive(self) -> None:
        """Set the inputs of this cycle."""
        self.offering = self.next < len(self.words) and self.wait == 0
        self.valid.value = int(self.offering)
        if self.offering:
            self.payload.value = self.words[self.next]

    def settle(self) -> None:
        """Note whether the word was taken."""
        if self.wait:
            self.wait -= 1
        elif self.offering and int(self.ready.value):
            self.next += 1
            self.wait = self.gaps[self.next] if self.next < len(self.gaps) else 0


class Watcher:
    """Compare one probe with its words."""

    def __init__(self, dut, index: int, probe: dict) -> None:
        self.index = index
        self.valid = [find(dut, path) for path in probe["valid"]]
        self.value = find(dut, probe["value"])
        self.words = {int(cycle): word for cycle, word in probe["words"].items()}

    def look(self, cycle: int) -> tuple[int, int, int | None, int | None] | None:
        """Return (probe, cycle, expected, got) where they differ."""
        expected = self.words.get(cycle)
        got = None
        if all(int(signal.value) for signal in self.valid):
            got = int(self.value.value)
        return None if expected == got else (self.index, cycle, expected, got)


@cocotb.test()
async def compare(dut) -> None:
    """Run the stimulus and write down every difference."""
    plan = json.loads(Path(os.environ["SIGNFIRE_BENCH"]).read_text())
    watchers = [Watcher(dut, i, probe) for i, probe in enumerate(plan["probes"])]
    source = Source(dut, plan["raw_words"], plan["gaps"])
    ready = plan["ready"]
    dut.rst.value = 1
    dut.samples_valid.value = 0
    dut.results_ready.value = 0
    Clock(dut.clk, 10, unit="ns", impl="gpi").start()
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    found = []
    begun = time.perf_counter()
    cycle = 0
    for cycle in range(plan["cycles"]):
        source.drive()
        dut.results_ready.value = int(cycle >= len(ready) or ready[cycle])
        await ReadOnly()
        found += [seen for watcher in watchers if (seen := watcher.look(cycle))]
        source.settle()
        if len(found) >= MOST_MISMATCHES:
            break
        await FallingEdge(dut.clk)
    seconds = time.perf_counter() - begun
    Path(plan["result"]).write_text(
        json.dumps({"cycles": cycle + 1, "seconds": seconds, "found": found})
    )
