"""RTL of an input whose trains stand at once."""

from ....hdl.level_encoder import LevelEncoder
from .plan import LevelInput


def make_encoder(plan: LevelInput) -> LevelEncoder:
    """Return what turns raw samples into trains."""
    fmt, code = plan.format, plan.spike_code
    return LevelEncoder(
        multiplier=fmt.multiplier,
        shift=fmt.shift,
        rest=code.rest,
        steps=code.steps,
        ties=plan.ties,
        **plan.ends,
    )
