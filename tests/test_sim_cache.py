"""The cache of what was compiled: whole, shared, bounded, and never in the way."""

import logging
import multiprocessing
import os
import time

import pytest

from signfire.sim import cache
from signfire.sim.cache import Cache, available, key_of, place, user_cache

KEY, OTHER = key_of("this"), key_of("that")


@pytest.fixture
def made():
    """Return a function that makes an entry, and the list of its calls."""
    calls = []

    def make(folder):
        calls.append(folder)
        (folder / "program").write_text("#!/bin/sh\n")

    return make, calls


def test_an_entry_is_made_once(tmp_path, made) -> None:
    make, calls = made

    first = Cache(tmp_path).entry("bulk", KEY, make)
    second = Cache(tmp_path).entry("bulk", KEY, make)

    assert first == second == tmp_path / f"bulk-{KEY}"
    assert (first / "program").read_text() == "#!/bin/sh\n"
    assert len(calls) == 1


@pytest.mark.parametrize(("name", "key"), [("cycle", KEY), ("bulk", OTHER)])
def test_another_name_or_key_is_another_entry(tmp_path, made, name, key) -> None:
    make, calls = made
    Cache(tmp_path).entry("bulk", KEY, make)
    Cache(tmp_path).entry(name, key, make)

    assert len(calls) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "program").write_text("#!/bin/"),  # cut short
        lambda entry: (entry / "program").write_text("#!/bin/no\n"),  # as long as it was
        lambda entry: (entry / "program").unlink(),
        lambda entry: (entry / "seal.json").write_text('{"program": [10,'),
        lambda entry: (entry / "seal.json").write_text("{}"),
        lambda entry: (entry / "seal.json").unlink(),
    ],
)
def test_a_damaged_entry_is_made_again(tmp_path, made, damage) -> None:
    make, calls = made
    entry = Cache(tmp_path).entry("bulk", KEY, make)
    damage(entry)

    again = Cache(tmp_path).entry("bulk", KEY, make)

    assert (again / "program").read_text() == "#!/bin/sh\n"
    assert len(calls) == 2


def test_what_was_interrupted_is_no_entry(tmp_path, made) -> None:
    def interrupted(folder):
        (folder / "program").write_text("#!/bin/")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path).entry("bulk", KEY, interrupted)

    assert not (tmp_path / f"bulk-{KEY}").exists()
    assert not list((tmp_path / "making").iterdir())
    make, calls = made
    Cache(tmp_path).entry("bulk", KEY, make)
    assert len(calls) == 1


def _make_slowly(root, tally) -> None:
    def make(folder):
        with open(tally, "a") as file:
            file.write("made\n")
        time.sleep(0.2)
        (folder / "program").write_text("#!/bin/sh\n")

    entry = Cache(root).entry("bulk", KEY, make)
    assert (entry / "program").read_text() == "#!/bin/sh\n"


def test_processes_that_want_one_entry_make_it_once(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    tally = tmp_path / "tally"
    others = [context.Process(target=_make_slowly, args=(tmp_path, tally)) for _ in range(3)]
    for process in others:
        process.start()
    for process in others:
        process.join()

    assert [0, 0, 0] == [process.exitcode for process in others]
    assert tally.read_text() == "made\n"


def _of_size(size: int):
    return lambda folder: (folder / "program").write_bytes(bytes(size))


def _aged(entry, seconds: float) -> None:
    when = time.time() - seconds
    os.utime(entry, (when, when))


def test_what_served_longest_ago_goes_first(tmp_path) -> None:
    kept = Cache(tmp_path, bound_bytes=3000)
    entries = {name: kept.entry(name, KEY, _of_size(1000)) for name in ("a", "b")}
    for age, entry in enumerate(entries.values()):
        _aged(entry, 5000 - 1000 * age)
    kept.entry("a", KEY, _of_size(1000))  # serves now
    kept.entry("c", KEY, _of_size(1000))

    assert {"a", "c"} == {path.name[0] for path in tmp_path.glob(f"*-{KEY}")}
    assert 2000 <= kept.size_bytes <= 3000


def test_what_serves_now_stays_whatever_the_bound(tmp_path) -> None:
    kept = Cache(tmp_path, bound_bytes=10)
    entries = [kept.entry(name, KEY, _of_size(1000)) for name in ("a", "b")]

    assert all(entry.exists() for entry in entries)


def test_what_a_killed_process_began_is_swept_away(tmp_path, made) -> None:
    left = tmp_path / "making" / "bulk-killed"
    left.mkdir(parents=True)
    fresh = tmp_path / "making" / "bulk-running"
    fresh.mkdir()
    _aged(left, 2 * cache.STALE_S)

    Cache(tmp_path).entry("bulk", KEY, made[0])

    assert ["bulk-running"] == [path.name for path in (tmp_path / "making").iterdir()]


def test_clearing_leaves_nothing(tmp_path, made) -> None:
    kept = Cache(tmp_path)
    kept.entry("bulk", KEY, made[0])
    assert kept.size_bytes > 0

    kept.clear()

    assert kept.size_bytes == 0
    assert not list(tmp_path.glob("bulk-*"))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SIGNFIRE_CACHE_DIR": "/a b/c", "XDG_CACHE_HOME": "/xdg"}, "/a b/c"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/signfire"),
        ({"XDG_CACHE_HOME": "not/absolute"}, "~/.cache/signfire"),
        ({}, "~/.cache/signfire"),
    ],
)
def test_where_the_cache_is(variables, expected) -> None:
    assert os.path.expanduser(expected) == str(place(variables))


def test_its_bound_and_its_switch_are_variables() -> None:
    assert user_cache({}).bound_bytes == 2_000_000_000
    assert user_cache({"SIGNFIRE_CACHE_MB": "5"}).bound_bytes == 5_000_000
    assert user_cache({"SIGNFIRE_CACHE": "off"}) is None


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SIGNFIRE_CACHE": "no"}, "SIGNFIRE_CACHE must be on or off, not 'no'"),
        (
            {"SIGNFIRE_CACHE_MB": "-1"},
            "SIGNFIRE_CACHE_MB must be a number of megabytes, not '-1'",
        ),
    ],
)
def test_other_values_are_refused(variables, message) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        user_cache(variables)


def test_a_cache_that_cannot_be_written_is_told_in_one_line(
    tmp_path, monkeypatch, caplog, made
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SIGNFIRE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING):
        (kept, lasts), (again, _) = available(), available()

    assert not lasts
    assert kept is again
    assert (kept.entry("bulk", KEY, made[0]) / "program").exists()
    [record] = caplog.records
    assert record.getMessage() == (
        f"the cache {tmp_path}/file/cache cannot be written (Not a directory): simulators are "
        "compiled for this run alone (SIGNFIRE_CACHE_DIR names another place, "
        "SIGNFIRE_CACHE=off does without)"
    )


def test_a_cache_that_is_switched_off_is_left_alone(tmp_path, monkeypatch, made) -> None:
    monkeypatch.setenv("SIGNFIRE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("SIGNFIRE_CACHE", "off")

    kept, lasts = available()
    kept.entry("bulk", OTHER, made[0])

    assert not lasts
    assert not (tmp_path / "cache").exists()
