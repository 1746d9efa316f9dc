"""Carry chains of ECP5, laid out so that nextpnr adds no cells to them.

A cell CCU2C is two bits of a chain. Yosys ties the carry into a chain to a constant, and names the
carry out of its last cell, used or not; nextpnr then puts a whole cell before the chain and another
one behind it, four look-up tables for each adder. Here each chain begins with a bit that makes its
carry, whatever enters the cell, and ends with a bit that hands its carry out only where that is
used. Both find room in the bits that fill a chain up to whole cells, or it is a cell longer.

    S = f(A, B, C, D) xor carry,  carry out = carry if f(A, B, C, D) else f(A, B, 0, 0)
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

CELL = "CCU2C"
Net = int | str  # a number, or a constant: "0", "1", "x"
_OPEN: Net = "x"  # what is connected to nothing
_HIGH: Net = "1"  # an input that is tied high takes no wire
# f of the bit that makes a carry, where B, C and D are high: 0, and A for its carry out.
_ENTRY = 0x0008


@dataclass(frozen=True, kw_only=True)
class _Bit:
    """One bit of a chain.

    Parameters
    ----------
    table
        f, 16 binary digits.
    inject
        Parameter INJECT1 of the bit.
    inputs
        Nets of A, B, C and D.
    sum
        Net of S, ``x`` where that is not used.
    """

    table: str = "0" * 16
    inject: str = "NO"
    inputs: tuple[Net, ...] = (_HIGH,) * 4
    sum: Net = _OPEN


def shorten_chains(netlist: dict) -> None:
    """Lay out the chains of an ECP5 netlist anew, as Yosys writes it to JSON, in place.

    A chain of which a carry is used on the way stays as it is: nextpnr has to cut it.
    """
    for module in netlist["modules"].values():
        used = _uses(module)
        fresh = max((bit for bit in used if isinstance(bit, int)), default=1)
        for chain in list(_chains(module["cells"], used)):
            fresh += 1
            _shorten(module["cells"], chain, used, fresh)


def _uses(module: dict) -> Counter:
    """Count what each net leads to; a net that only a carry cell drives counts 0."""
    used: Counter = Counter()
    for port in module["ports"].values():
        used.update(port["bits"])
    for cell in module["cells"].values():
        for name, bits in cell["connections"].items():
            drives = cell["type"] == CELL and name in ("S0", "S1", "COUT")
            used.update({bit: int(not drives) for bit in bits})
    return used


def _chains(cells: dict, used: Counter) -> Iterator[list[str]]:
    """Yield the names of each chain's cells in order, where no carry is used on the way."""
    carries = {name: cell["connections"] for name, cell in cells.items() if cell["type"] == CELL}
    following = {_net(ports, "CIN"): name for name, ports in carries.items()}
    driven = {_net(ports, "COUT") for ports in carries.values()} - {_OPEN}
    for name, ports in carries.items():
        if _net(ports, "CIN") in driven:
            continue
        chain, straight = [name], True
        while (carry := _net(carries[chain[-1]], "COUT")) != _OPEN and carry in following:
            straight = straight and used[carry] == 1
            chain.append(following[carry])
        if straight:
            yield chain


def _net(ports: dict, name: str) -> Net:
    """Return the net of a port of one bit; one that is not connected is open."""
    return (ports.get(name) or [_OPEN])[0]


def _shorten(cells: dict, chain: list[str], used: Counter, fresh: int) -> None:
    """Lay out the bits of one chain anew; ``fresh`` is a net that nothing else has."""
    bits = [bit for name in chain for bit in _bits(cells[name], used)]
    leaving = _net(cells[chain[-1]]["connections"], "COUT")
    if used[leaving] and leaving != _OPEN:
        bits.append(_Bit(sum=leaving))  # 0 xor the carry
    while bits and bits[-1].sum == _OPEN:
        bits.pop()
    if not bits:
        return
    entering = _net(cells[chain[0]]["connections"], "CIN")
    if entering in ("0", _OPEN):
        bits.insert(0, _Bit())
    else:
        bits.insert(0, _Bit(table=f"{_ENTRY:016b}", inputs=(entering, *(_HIGH,) * 3)))
    if len(bits) % 2:
        bits.append(_Bit())

    last = cells[chain[-1]]
    carries = [_OPEN, *(_net(cells[name]["connections"], "COUT") for name in chain[:-1]), fresh]
    names = [*chain, f"{chain[-1]}_end"][: len(bits) // 2]
    made = {
        name: _cell(cells.get(name, last), bits[2 * i : 2 * i + 2], carries[i], carries[i + 1])
        for i, name in enumerate(names[:-1])
    }
    i = len(names) - 1
    made[names[i]] = _cell(cells.get(names[i], last), bits[2 * i :], carries[i], _OPEN)
    for name in chain:
        del cells[name]
    cells.update(made)


def _bits(cell: dict, used: Counter) -> list[_Bit]:
    """Return the two bits of a cell."""
    found = []
    for i in "01":
        ports, sum_ = cell["connections"], _net(cell["connections"], f"S{i}")
        found.append(
            _Bit(
                table=cell["parameters"][f"INIT{i}"],
                inject=cell["parameters"][f"INJECT1_{i}"],
                inputs=tuple(_net(ports, f"{name}{i}") for name in "ABCD"),
                sum=sum_ if used[sum_] else _OPEN,
            )
        )
    return found


def _cell(like: dict, bits: list[_Bit], entering: Net, leaving: Net) -> dict:
    """Return a cell of two bits between two carries; its attributes are those of another."""
    parameters, ports = {}, {"CIN": [entering], "COUT": [leaving]}
    for i, bit in enumerate(bits):
        parameters |= {f"INIT{i}": bit.table, f"INJECT1_{i}": bit.inject}
        ports |= {f"{name}{i}": [net] for name, net in zip("ABCD", bit.inputs, strict=True)}
        ports[f"S{i}"] = [bit.sum]
    return like | {"parameters": parameters, "connections": ports}
