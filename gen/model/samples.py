"""What samples must be for a model to compute anything of them."""

import numpy as np

LEAST, MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def check_magnitudes(samples: np.ndarray) -> None:
    """Refuse samples that a model of 32-bit floats does not see as they are.

    Parameters
    ----------
    samples
        (n, ...) numbers, any integer or float type.

    Raises
    ------
    ValueError
        If one is not finite, or the greatest magnitude of all is above what 32-bit floats hold, or
        above 0 and below what they hold in full precision.
    """
    if samples.dtype.kind != "f" or not samples.size:
        return
    if not np.isfinite(samples).all():
        raise ValueError(
            "calibration samples must be finite; there is a NaN or an infinity among them"
        )
    greatest = np.abs(samples).max()
    if greatest > MOST or 0 < greatest < LEAST:
        raise ValueError(
            f"calibration samples must reach between {LEAST:.3g} and {MOST:.3g}, which a model in "
            f"32-bit floats takes, not {greatest:.3g} (scale them)"
        )
