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


# -- benches of rows ---------------------------------------------------------------------------


def of_rows(measured: list[str], fails: str = "") -> measure.Bench:
    """Return a bench of three rows, which notes what it measures."""

    def find(name: str) -> dict:
        if name == fails:
            raise KeyboardInterrupt
        measured.append(name)
        return {"value": len(name)}

    def sum_up(rows):
        for name, row in rows.items():
            yield measure.Measurement(what=name, value=row["value"], unit="")
        yield measure.Measurement(what="all", value=len(rows), unit="rows", target="== 3")

    rows = measure.Rows(names=("a", "bb", "ccc"), measure=find, sum_up=sum_up)
    return measure.Bench(bar="A1", title="title", run=list, rows=rows)


def test_an_interrupted_bench_of_rows_goes_on_where_it_ended(tmp_path) -> None:
    measured: list[str] = []
    told = []

    with pytest.raises(KeyboardInterrupt):
        for records in bench.measure_rows(of_rows(measured, fails="ccc"), folder=tmp_path):
            told.append([(r["value"], r["holds"]) for r in records])
    assert told == [[(1, None), (1, False)], [(1, None), (2, None), (2, False)]]
    *_, last = bench.measure_rows(of_rows(measured), folder=tmp_path)

    assert measured == ["a", "bb", "ccc"]
    assert [(r["value"], r["holds"]) for r in last] == [(1, None), (2, None), (3, None), (3, True)]


def test_rows_are_measured_anew_once_all_were_there(tmp_path) -> None:
    measured: list[str] = []

    for _ in range(2):
        list(bench.measure_rows(of_rows(measured), folder=tmp_path))

    assert measured == ["a", "bb", "ccc"] * 2


def test_single_rows_are_measured_alone_and_recorded_in_the_order_of_the_table(tmp_path) -> None:
    measured: list[str] = []

    (first,) = bench.measure_rows(of_rows(measured), ["ccc"], folder=tmp_path)
    (second,) = bench.measure_rows(of_rows(measured), ["a"], folder=tmp_path)

    assert measured == ["ccc", "a"]
    assert [r["value"] for r in first] == [3, 1]
    assert [r["what"] for r in second] == ["title: a", "title: ccc", "title: all"]


def test_a_row_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"^bench A1 has no row 'd'; there are a, bb, ccc$"):
        list(bench.measure_rows(of_rows([]), ["d"], folder=tmp_path))
    plain = measure.Bench(bar="A1", title="title", run=list)
    with pytest.raises(ValueError, match=r"^bench A1 has no rows \(leave out --row\)$"):
        list(bench.measure_rows(plain, ["a"], folder=tmp_path))
