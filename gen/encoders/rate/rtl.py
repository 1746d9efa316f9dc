"""RTL of an input that fires as integrate-and-fire neurons do."""

from ....hdl.rate_encoder import RateEncoder
from .plan import RateInput


def make_encoder(plan: RateInput) -> RateEncoder:
    """Return what turns raw samples into trains."""
    assert plan.threshold is not None
    return RateEncoder(threshold=plan.threshold, steps=plan.code.steps, **plan.ends)
