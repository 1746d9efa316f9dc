"""Where a board's oscillator, serial line and reset button meet the chip: on package and netlist.

Roles are ``clock``, ``rx`` and ``tx``, and ``reset`` where the board has a button for it.
"""

from .boards import Board


def package_pins(board: Board) -> dict[str, tuple[str, bool]]:
    """Return role to (name on the package, whether inverted)."""
    platform = board.platform()
    found = {}
    for role, resource, part in _roles(platform):
        single = getattr(part.ios[0], "p", part.ios[0])  # of a differential pair the positive one
        name = single.map_names(platform._conn_pins, resource)[0]
        found[role] = (name, part.ios[0].invert)
    return found


def top_ports(board: Board) -> dict[str, tuple[str, bool]]:
    """Return role to (name of the top module's port, whether inverted)."""
    platform = board.platform()
    found = {}
    for role, resource, part in _roles(platform):
        name = "_".join([resource.name, str(resource.number)])
        if part is not resource:
            name += f"__{part.name}"
        found[role] = (f"{name}__{'p' if hasattr(part.ios[0], 'p') else 'io'}", part.ios[0].invert)
    return found


def _roles(platform) -> list[tuple]:
    """Return (role, resource, what of it holds the pin)."""
    clock = platform.lookup(platform.default_clk, 0)
    found = [("clock", clock, clock)]
    if platform.default_rst is not None:
        button = platform.lookup(platform.default_rst, 0)
        found.append(("reset", button, button))
    uart = platform.lookup("uart", 0)
    return found + [(part.name, uart, part) for part in uart.ios if part.name in ("rx", "tx")]
