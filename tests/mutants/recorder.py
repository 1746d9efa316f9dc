"""A plugin of pytest: writes down which blocks of the product each test runs, and how long.

What a fixture of a module or of the session runs counts for every test that uses it, and what runs
while the tests are collected counts for all.
"""

import builtins
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import marks
import pytest

RECORD = "SIGNFIRE_RECORD"  # the file that is written


def spent() -> float:
    """Return seconds of the processor, those of processes that ended included."""
    return sum(os.times()[:4])


class Recorder:
    """What is known of the tests of one run."""

    def __init__(self) -> None:
        self.collected: set[str] = set()
        self.tests: dict[str, dict[str, Any]] = {}
        self.passed: set[str] = set()
        self.fixtures: dict[int, tuple[set[str], float]] = {}  # what ran, and seconds
        self.within = 0.0  # seconds of fixtures, in the test or fixture that is under way

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        if fixturedef.scope == "function":
            return (yield)
        before, begun, within = marks.taken(), spent(), self.within
        self.within = 0.0
        try:
            return (yield)
        finally:
            own, seconds = marks.taken(), spent() - begun
            known, _ = self.fixtures.get(id(fixturedef), (set(), 0.0))
            self.fixtures[id(fixturedef)] = known | own, seconds - self.within
            self.within = within + seconds
            getattr(builtins, marks.SET).update(before | own)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Generator[None, Any, Any]:
        if not self.tests:
            self.collected = marks.taken()
        self.within, begun = 0.0, spent()
        result = yield
        reached, seconds = marks.taken(), spent() - begun - self.within
        for definitions in item._fixtureinfo.name2fixturedefs.values():
            for definition in definitions:
                ran, cost = self.fixtures.get(id(definition), (set(), 0.0))
                reached |= ran
                seconds += cost
        self.tests[item.nodeid] = {"seconds": seconds, "reached": reached}
        return result

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)
        elif report.failed:
            self.passed.discard(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write the record: names of blocks once, and for each test their places in that list."""
        every = self.collected.union(*(test["reached"] for test in self.tests.values()))
        place = {name: k for k, name in enumerate(sorted(every))}
        tests = {
            name: {
                "passed": name in self.passed,
                "seconds": round(test["seconds"], 3),
                "reached": sorted(place[block] for block in test["reached"] - self.collected),
            }
            for name, test in self.tests.items()
        }
        collected = sorted(place[block] for block in self.collected)
        record = {"names": list(place), "collected": collected, "tests": tests}
        Path(os.environ[RECORD]).write_text(json.dumps(record))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder(), "recorder of blocks")
