"""RTL of an input that fires as signGD neurons do."""

from ....hdl.encoder import Encoder
from .plan import FiredInput


def make_encoder(plan: FiredInput) -> Encoder:
    """Return what turns raw samples into trains."""
    fmt, code = plan.format, plan.spike_code
    return Encoder(
        multiplier=fmt.multiplier,
        shift=fmt.shift,
        rest=code.rest,
        eta=code.eta,
        ties=plan.ties,
        **plan.ends,
    )
