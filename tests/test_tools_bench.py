"""The bench harness: verdicts, records, and the README that is made from them."""

import pytest

from signfire.tools import bench, measure


@pytest.mark.parametrize(
    ("value", "target", "holds"),
    [
        (97.7, ">= 97.7", True),
        (97.69, ">= 97.7", False),
        (12.0, "<= 12", True),
        (12.1, "<= 12", False),
        (5000, "== 5000", True),
        (4999, "== 5000", False),
        (1, "", None),
    ],
)
def test_a_bar_holds_up_to_its_edge(value, target, holds) -> None:
    assert measure.Measurement(what="w", value=value, unit="u", target=target).holds is holds


def record(bar: str, value: float) -> dict:
    return {
        "bar": bar,
        "what": f"title of {bar}: what {value}",
        "value": value,
        "unit": "MHz",
        "target": ">= 2",
        "holds": value >= 2,
    }


def test_a_bench_replaces_all_records_of_its_bar_and_no_other() -> None:
    old = [record("A1", 1), record("A2", 2), record("A2", 3), record("A10", 4)]

    merged = bench.merge(old, [record("A2", 5)])

    assert [(r["bar"], r["value"]) for r in merged] == [("A1", 1), ("A2", 5), ("A10", 4)]


def test_a_bar_that_does_not_hold_is_plain_in_the_table() -> None:
    table = bench.tables([record("A1", 1), record("A2", 2)])

    assert "| A1 | **title of A1** | | | |\n| | what 1 | 1 MHz | >= 2 MHz | **no** |" in table
    assert "| A2 | **title of A2** | | | |\n| | what 2 | 2 MHz | >= 2 MHz | yes |" in table


def test_the_readme_says_what_was_recorded() -> None:
    text = bench.README.read_text()

    assert text == bench.rewrite_readme(text, bench.load_records()), "run make readme"


def test_every_record_belongs_to_a_bench_and_says_how_it_was_made() -> None:
    for found in bench.load_records():
        assert found["bar"] in bench.BENCHES
        assert found["command"] == f"make bench BENCH={found['bar']}"
        assert found["versions"]["signfire"]


@pytest.mark.parametrize(
    ("words", "first"), [(["a1"], "A1"), (["A"], "A1"), ([], "A1"), (["A8", "A1"], "A1")]
)
def test_benches_are_chosen_by_bar_group_or_all(words, first) -> None:
    assert bench.choose(words)[0].bar == first


def test_an_unknown_bench_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"there is no bench 'A99'; there are A1, "):
        bench.choose(["A99"])
