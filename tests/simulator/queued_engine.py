"""An engine for Amaranth's simulator that runs what changed, in place of looking at everything.

It keeps Amaranth's delta cycles to the letter: all processes that are due run, then all changes
are applied at once, until nothing changes. What differs is the way there:

- A signal that changes puts the processes that read it into a queue. Amaranth's engine asks every
  process of the hardware, in every delta cycle, whether it has to run.
- At an edge of the clock a process runs if anything that it reads has changed since it ran last,
  its own registers among it: else it would change nothing.
- The Python that Amaranth generates for a process holds the signals that it needs as local names,
  and compares before it calls: most assignments change nothing.
- Equal Python is compiled once.

A deep run of the tests takes Amaranth's own engine, and ``test_queued_engine.py`` compares both.
"""

import builtins
import re
from functools import cache
from unittest import mock

from amaranth.hdl import Signal
from amaranth.sim import _pyrtl, pysim


class _Readers:
    """Stands for Amaranth's waker of a process, for all changes or for one edge."""

    def __init__(self, process, polarity=None) -> None:
        self.process, self.polarity = process, polarity


class _SignalState(pysim._PySignalState):
    """A signal that knows which processes a change of it makes due.

    Members
    -------
    readers : combinational processes, due at once
    followers : clocked processes, due at their next edge
    edges : clocked processes of which this is the clock, by its value after the edge; or None
    """

    __slots__ = ("edges", "followers", "readers")

    def __init__(self, signal, pending) -> None:
        super().__init__(signal, pending)
        self.readers: set = set()
        self.followers: set = set()
        self.edges: tuple[set, set] | None = None

    def add_waker(self, waker) -> None:
        if not isinstance(waker, _Readers):
            super().add_waker(waker)
        elif waker.polarity is None:
            self.readers.add(waker.process)
        else:
            self.edges = self.edges or (set(), set())
            self.edges[waker.polarity].add(waker.process)


class _State(pysim._PyEngineState):
    """The state of a simulation, with the processes that are due.

    Members
    -------
    due : in the next delta cycle
    stale : clocked ones that read what has changed since they ran, or that have not run yet
    telling : clocked ones that print or assert, at every edge
    compiling : whose Python is being written
    """

    def __init__(self) -> None:
        super().__init__()
        self.due: set = set()
        self.stale: set = set()
        self.telling: set = set()
        self.compiling = None

    def waker(self, process, polarity=None) -> _Readers:
        self.compiling = process
        return _Readers(process, polarity)

    def read_by_clocked(self, places: list[int]) -> None:
        """Let changes of these slots make the process stale that is being compiled."""
        process = self.compiling

        def wake() -> bool:
            self.stale.add(process)
            return True

        for place in places:
            if isinstance(self.slots[place], _SignalState):
                self.slots[place].followers.add(process)
            else:
                self.slots[place].add_waker(wake)

    def get_signal(self, signal) -> int:
        try:
            return self.signals[signal]
        except KeyError:
            index = self.signals[signal] = len(self.slots)
            self.slots.append(_SignalState(signal, self.pending))
            return index

    def add_memory_waker(self, memory, waker) -> None:
        def wake() -> bool:
            self.due.add(waker.process)
            return True

        super().add_memory_waker(memory, wake)

    def commit(self, changed=None) -> bool:
        assert changed is None, "this engine writes no waveforms"
        converged = True
        edges = []
        due, stale = self.due, self.stale
        for state in self.pending:
            if type(state) is not _SignalState:
                converged &= not state.commit()
                continue
            before, after = state.curr, state.next
            if before == after:
                continue
            converged = False
            if state.readers:
                due |= state.readers
            if state.followers:
                stale |= state.followers
            if state.edges:
                edges.append(state.edges[after])
            if state.wakers:
                pysim._run_wakers(state.wakers, before, after)
            state.curr = after
        self.pending.clear()
        for clocked in edges:  # at the end: what changes along with the clock counts
            runs = clocked & stale
            stale -= runs - self.telling
            due |= runs
        return converged


UPDATE = re.compile(r"slots\[(\d+)\]\.update\(next_\1, (-?\d+)\)")
WRITE = re.compile(r"slots\[\d+\]\.write\(.*, (write_en_\d+)\)")
SLOT = re.compile(r"slots\[(\d+)\]")
SIGN = re.compile(r", -(0x[0-9a-f]+|\d+)\)")
# Where Amaranth writes texts of the hardware, in which anything may stand.
TEXTS = ("print(", "pin_blame(")


def _emitter(state: _State):
    """Return the class that collects the Python of a process, and improves it at the end."""

    def updated(match: re.Match) -> str:
        place, mask = int(match[1]), int(match[2])
        signal = state.slots[place].signal
        whole = -1 if signal.shape().signed else (1 << len(signal)) - 1
        compared = f"if next_{place} != s{place}.next: s{place}.next = next_{place}; add(s{place})"
        if mask == whole:
            return compared
        # Other bits are those of other processes. One line, for it may stand in any block.
        return f"next_{place} = s{place}.next & ~{mask} | next_{place} & {mask}\n    {compared}"

    def improved(line: str) -> str:
        line = UPDATE.sub(updated, line)
        if not any(text in line for text in TEXTS):
            # sign(x, -m): x is masked, and m is the weight of its highest bit.
            if "sign(" in line:
                line = SIGN.sub(r" ^ \1) - \1)", line).replace("sign(", "((")
            line = WRITE.sub(r"if \1: \g<0>", line)  # nothing is enabled: nothing is written
            line = SLOT.sub(r"s\1", line)
        return line

    class Emitter(_pyrtl._PythonEmitter):
        def flush(self, indent="") -> str:
            lines = super().flush(indent).split("\n")
            if lines[0] != "def run():":
                return "\n".join(lines)
            body = [improved(line) for line in lines[1:]]
            used = sorted({int(place) for place in re.findall(r"\bs(\d+)\.", "\n".join(body))})
            if not state.compiling.is_comb:
                state.read_by_clocked(used)
                if any(text in line for line in body for text in TEXTS):
                    state.telling.add(state.compiling)
            names = ["add=pending.add", *(f"s{place}=slots[{place}]" for place in used)]
            return "\n".join(["pending = slots[0].pending", f"def run({', '.join(names)}):", *body])

    return Emitter


@cache
def _code(text: str, name: str, mode: str):
    return builtins.compile(text, name, mode)


class QueuedEngine(pysim.PySimEngine):
    """Amaranth's engine with a queue; see the module."""

    def __init__(self, design) -> None:
        state = _State()
        with (
            mock.patch.object(pysim, "_PyEngineState", lambda: state),
            mock.patch.multiple(
                _pyrtl,
                _PythonEmitter=_emitter(state),
                comb_waker=state.waker,
                edge_waker=state.waker,
                memory_waker=state.waker,
            ),
            mock.patch.object(_pyrtl, "compile", _code, create=True),
        ):
            super().__init__(design)
        self._hardware, self._processes = self._processes, set()
        self._slot_of: dict[int, tuple] = {}
        self._wake_all()

    def _wake_all(self) -> None:
        combinational = {process for process in self._hardware if process.is_comb}
        self._state.due, self._state.stale = combinational, self._hardware - combinational

    def reset(self) -> None:
        super().reset()
        self._wake_all()

    def get_value(self, expr):
        if type(expr) is not Signal:
            return super().get_value(expr)
        kept = self._slot_of.get(id(expr))
        if kept is None:  # the signal is kept, so that its id stays its own
            place = self._state.get_signal(expr)
            kept = self._slot_of[id(expr)] = (expr, self._state.slots[place])
        return kept[1].curr

    def step_design(self) -> None:
        state, triggers, others = self._state, self._active_triggers, self._processes
        converged = False
        while not converged:
            for trigger in triggers:
                trigger.run()
            triggers.clear()
            due, state.due = state.due, set()
            for process in due:
                process.run()
            for process in others:
                if process.runnable:
                    process.runnable = False
                    process.run()
            converged = state.commit()
            self._delta_cycles += 1
