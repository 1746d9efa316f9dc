"""Ports of one bit that rest at 1, as serial lines and their select do."""

from amaranth.lib.wiring import Flow, Member


def idle_high(flow: Flow) -> Member:
    """Return a port of one bit whose value is 1 until somebody drives it.

    Parameters
    ----------
    flow
        ``In`` or ``Out``.
    """
    return flow(1, init=1)  # pyright: ignore[reportCallIssue]  # the stubs still say `reset`
