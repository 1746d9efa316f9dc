"""Names that leave the hardware: of modules, their ports and the signals that checks look at.

A port of a component is called by its path, the parts joined by one underscore:
``samples_payload``. Such a name is an identifier of Verilog and of VHDL: letters, digits and
single underscores, a letter first, no underscore last, no keyword of either language.
"""

import re

from amaranth.lib import wiring

_IDENTIFIER = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*", re.ASCII)
# Verilog as written by Yosys: strings, escaped names, names.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\\\S+|[A-Za-z_][\w$]*', re.ASCII)

# Ref: IEEE 1364-2005, annex B; IEEE 1800-2017, annex B; IEEE 1076-2008, 15.10
VERILOG_KEYWORDS = frozenset(
    """
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic
    before begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle
    checker class clocking cmos config const constraint context continue cover covergroup
    coverpoint cross deassign default defparam design disable dist do edge else end endcase
    endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface
    endmodule endpackage endprimitive endprogram endproperty endsequence endspecify endtable
    endtask enum event eventually expect export extends extern final first_match for force foreach
    forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins
    illegal_bins implements implies import incdir include initial inout input inside instance int
    integer interconnect interface intersect join join_any join_none large let liblist library
    local localparam logic longint macromodule matches medium modport module nand negedge nettype
    new nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed parameter
    pmos posedge primitive priority program property protected pull0 pull1 pulldown pullup
    pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime
    ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always
    s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled
    signed small soft solve specify specparam static string strong strong0 strong1 struct super
    supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time
    timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef
    union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait
    wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
    """.split()
)
VHDL_KEYWORDS = frozenset(
    """
    abs access after alias all and architecture array assert assume assume_guarantee attribute begin
    block body buffer bus case component configuration constant context cover default disconnect
    downto else elsif end entity exit fairness file for force function generate generic group
    guarded if impure in inertial inout is label library linkage literal loop map mod nand new next
    nor not null of on open or others out package parameter port postponed procedure process
    property protected pure range record register reject release rem report restrict
    restrict_guarantee return rol ror select sequence severity shared signal sla sll sra srl strong
    subtype then to transport type unaffected units until use variable vmode vprop vunit wait when
    while with xnor xor
    """.split()
)


def is_legal(name: str) -> bool:
    """Whether ``name`` is an identifier of Verilog and of VHDL, which knows no capitals."""
    keyword = name.lower() in VERILOG_KEYWORDS | VHDL_KEYWORDS
    return _IDENTIFIER.fullmatch(name) is not None and not keyword


def port_name(*path: str | int) -> str:
    """Return the name of the port of a component whose path is ``path``."""
    return "_".join(map(str, path))


def legal_ports(component: wiring.Component) -> set[str]:
    """Return the names of the ports of a component; each is legal, and no two are equal in VHDL.

    Raises
    ------
    ValueError
        With the path of the port in the component.
    """
    names, known = set(), {"clk": "the clock", "rst": "the reset"}
    for path, _, _ in component.signature.flatten(component):
        name, place = port_name(*path), ".".join(map(str, path))
        if not is_legal(name):
            raise ValueError(f"a port must have a name that Verilog and VHDL take, not {name!r}")
        if name.lower() in known:
            raise ValueError(
                f"ports must differ in their names, and {place} and {known[name.lower()]} would "
                f"both be {name.lower()!r}"
            )
        known[name.lower()] = place
        names.add(name)
    return names


def with_single_underscores(verilog: str) -> str:
    """Return Verilog whose names hold no two underscores in a row.

    Amaranth joins paths by two, which VHDL forbids and Verilator writes as ``___05F``. A name that
    another name of its module would then be equal to stays as it is.
    """
    modules = [set(_TOKEN.findall(module)) for module in verilog.split("\nendmodule")]
    plain = {name: re.sub("__+", "_", name) for name in set.union(*modules)}
    unclear = set()
    for module in modules:
        known: dict[str, str] = {}
        for name in module:
            other = known.setdefault(plain[name], name)
            if other != name:
                unclear |= {other, name}

    def renamed(found: re.Match[str]) -> str:
        name = found[0]
        return name if name in unclear or name.startswith('"') else plain.get(name, name)

    return _TOKEN.sub(renamed, verilog)
