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
        row, *place = (int(k) for k in np.argwhere(~np.isfinite(samples))[0])
        value = place[0] if len(place) == 1 else tuple(place)
        raise ValueError(
            f"calibration samples must be finite: row {row} holds {samples[(row, *place)]} at "
            f"value {value} (counted from 0; leave the row out, or fill it in)"
        )
    greatest = np.abs(samples).max()
    if greatest > MOST or 0 < greatest < LEAST:
        raise ValueError(
            f"calibration samples must reach between {LEAST:.3g} and {MOST:.3g}, which a model in "
            f"32-bit floats takes, not {greatest:.3g} (scale them)"
        )
