"""Benches of the time to the class: what is said of rows that were measured."""

import pytest

from signfire.tools import bench_latency
from signfire.tools.bench_latency import CYCLES, figures

WORDS = {
    "accuracy": 98.84,
    "samples": 5000,
    "mean": 150.0,
    "worst": 270,
    "interval": 140.0,
    "bound": 300,
    "cells": 20_600,
    "block_ram": 50,
}


def placed(mhz: float, cells: int = 20_000, block_ram: int = 50) -> dict:
    return {"fmax_hz": mhz * 1e6, "cells": cells, "block_ram": block_ram}


def found(bar: str, rows: dict) -> dict:
    return {m.what: m for m in figures(bar, rows)}


def test_times_are_at_the_median_of_the_seeds_and_bars_at_their_edge() -> None:
    rows = {CYCLES: WORDS, "seed 1": placed(90), "seed 2": placed(100), "seed 3": placed(150)}

    said = found("G1", rows)

    assert said["mean latency"].value == 1.5
    assert said["mean latency"].holds
    assert "not routed: 1 of the seeds" in said["mean latency"].note
    assert said["latency of the slowest sample"].value == 2.7
    assert said["latency of the slowest sample"].holds is False
    assert said["estimate of LUTs against place and route, either way (G8)"].value == 3.0
    assert said["clock of the median seed (G7)"].holds is False


def test_without_a_routed_seed_there_is_no_time() -> None:
    assert list(found("G1", {CYCLES: WORDS})) == ["golden accuracy"]
    assert found("G1", {"seed 1": placed(90)}) == {}


@pytest.mark.parametrize(
    ("bar", "cells", "least"),
    [("G1", 20_000, 110), ("G2", 40_000, 110), ("G2", 60_000, 95), ("G4", 5_000, 52)],
)
def test_the_clock_that_is_wanted_is_of_the_device_and_of_how_full_it_is(bar, cells, least) -> None:
    said = found(bar, {CYCLES: WORDS, "seed 1": placed(100, cells)})

    assert said["clock of the median seed (G7)"].target == f">= {least}"


def test_a_block_ram_too_many_does_not_hold() -> None:
    said = found("G3", {CYCLES: WORDS, "seed 1": placed(100, block_ram=51)})

    assert said["estimate of block RAMs less place and route (G8)"].holds is False


def test_every_sample_counts() -> None:
    row = {"equal": 4999, "samples": 5000, "words": 50_000, "cycles": 10**6}

    (said,) = bench_latency.all_equal({"G1": row})

    assert said.holds is False
    (said,) = bench_latency.all_equal({"G1": row | {"equal": 5000}})
    assert said.holds
