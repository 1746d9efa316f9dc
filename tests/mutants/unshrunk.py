"""A plugin of pytest: what Hypothesis found is not made smaller, since it is only counted."""

from hypothesis import Phase, settings


def pytest_sessionstart() -> None:
    """Leave shrinking out, in whatever profile the tests have."""
    left_out = (Phase.shrink, Phase.explain)
    phases = [phase for phase in settings.default.phases if phase not in left_out]
    settings.register_profile("unshrunk", parent=settings.default, phases=phases, database=None)
    settings.load_profile("unshrunk")
