"""Random networks through the whole flow: drawn by seed, told apart, made small, logged."""

import json
from dataclasses import replace

import pytest

from signfire.sim import golden
from signfire.sim.specimens.networks import Drawn, draw, network
from signfire.tools import fuzz
from signfire.tools.fuzz import CRASHED, DIFFERS, FAILURES, PASSED, REFUSED, Outcome, check

pytestmark = pytest.mark.usefixtures("quick_compilation")

DENSE = Drawn(
    seed=5,
    shape=(4,),
    blocks=("dense", "dense"),
    classes=2,
    integers=True,
    options={"steps": 3, "weight_bits": 4},
    fold="drawn",
    stalls=(0.3, 0.3),
    reset=0.5,
    samples=4,
)
QUICK, DEEP = (1, 2, 3), range(4, 60)


@pytest.mark.parametrize(
    "seed", [*QUICK, *(pytest.param(seed, marks=pytest.mark.deep) for seed in DEEP)]
)
def test_a_random_network_comes_through_or_is_refused_with_a_sentence(seed) -> None:
    outcome = check(draw(seed))

    assert outcome.kind not in FAILURES, f"{outcome.text} ({fuzz.command(draw(seed))})"


def test_a_network_runs_through_the_hardware() -> None:
    outcome = check(DENSE)

    assert (PASSED, "simulate", "8 words") == (outcome.kind, outcome.stage, outcome.text)


def test_an_answer_that_differs_is_a_failure_of_its_stage(monkeypatch) -> None:
    run = golden.run

    def off_by_one(design, raw, **options):
        answer = run(design, raw, **options)
        return replace(answer, logits=answer.logits + 1)

    monkeypatch.setattr(fuzz.golden, "run", off_by_one)
    outcome = check(DENSE)

    assert (DIFFERS, "golden") == (outcome.kind, outcome.stage)
    assert outcome.text.startswith("logits of sample 0: ")


def test_hardware_that_differs_is_a_failure(monkeypatch) -> None:
    monkeypatch.setattr(
        fuzz, "core_timing", lambda design, technology: pytest.fail("not reached without a reset")
    )
    drawn, made = replace(DENSE, reset=None), fuzz.run_bulk

    def other(design, raw, folder, **options):
        return made(design, raw, folder, **options, timing=None, verilog=_without_bias(design))

    monkeypatch.setattr(fuzz, "run_bulk", other)
    outcome = check(drawn)

    assert (DIFFERS, "simulate") == (outcome.kind, outcome.stage)
    assert "of the RTL's numbers" in outcome.text


def _without_bias(design) -> str:
    """Return the Verilog of a Design whose read-out lacks its biases."""
    from signfire.gen.core.core import Core, to_verilog

    readout = design.readout
    operand = replace(readout.operands[0], bias=readout.operands[0].bias + 1)
    populations = (*design.populations[:-1], replace(readout, operands=(operand,)))
    return to_verilog(Core(replace(design, populations=populations), "ecp5"))


def test_a_refusal_is_no_failure_and_another_error_is(monkeypatch) -> None:
    refused = check(replace(DENSE, options={"steps": 3, "weight_bits": 9}))

    assert (REFUSED, "convert") == (refused.kind, refused.stage)
    assert refused.text == "weight_bits must lie in 2..8, not 9"

    monkeypatch.setattr(fuzz, "calibrate", lambda *given: 1 // 0)
    crashed = check(DENSE)
    assert (CRASHED, "convert") == (crashed.kind, crashed.stage)
    assert crashed.text.endswith("ZeroDivisionError: integer division or modulo by zero\n")


def test_equal_seeds_draw_equal_networks() -> None:
    for seed in range(30):
        drawn = draw(seed)
        assert drawn == draw(seed) != draw(seed + 1)
        first, second = network(drawn), network(drawn)
        assert (first[1] == second[1]).all()
        weights = [{k: v.tolist() for k, v in m.state_dict().items()} for m, _ in (first, second)]
        assert weights[0] == weights[1]


def test_a_case_is_one_command() -> None:
    drawn = draw(7)

    assert fuzz.read(fuzz.written(DENSE)) == DENSE
    assert fuzz.command(drawn) == "python -m signfire.tools.fuzz 1 --seed 7"
    small = replace(drawn, blocks=())
    command = fuzz.command(small)
    assert command.startswith("python -m signfire.tools.fuzz --case '{")
    assert fuzz.read(command.partition("'")[2].rstrip("'")) == small


def test_a_failure_is_made_small(monkeypatch) -> None:
    """Whatever holds a dense block and steps fails."""

    def fails(case):
        kind = CRASHED if "dense" in case.blocks and "steps" in case.options else PASSED
        return Outcome(kind=kind, stage="golden")

    monkeypatch.setattr(fuzz, "check", fails)
    small = fuzz.shrink(DENSE, fails(DENSE))

    assert (("dense",), {"steps": 3}) == (small.blocks, dict(small.options))
    assert (None, (0.0, 0.0), "serial", 1, 1) == (
        *(small.reset, small.stalls, small.fold, small.samples, small.classes),
    )


class Now:
    """A pool that works at once."""

    def __init__(self, *given, **options) -> None:
        pass

    def submit(self, function, *given):
        future = fuzz.Future()
        future.set_result(function(*given))
        return future

    def shutdown(self, **options) -> None:
        pass


@pytest.fixture
def pretended(monkeypatch):
    """Let every seventh case fail, the others pass, all at once; return the seeds that were run."""
    seen = []

    def of_seed(seed):
        seen.append(seed)
        kind = DIFFERS if seed % 7 == 0 else PASSED
        return draw(seed), Outcome(kind=kind, stage="simulate")

    monkeypatch.setattr(fuzz, "_of_seed", of_seed)
    monkeypatch.setattr(fuzz, "ProcessPoolExecutor", Now)
    monkeypatch.setenv("SIGNFIRE_CACHE_DIR", "unused")
    return seen


def test_a_run_goes_on_where_it_was_stopped(pretended, tmp_path) -> None:
    said: list[str] = []
    first = fuzz.run(range(1, 9), tmp_path, jobs=1, tell=said.append)
    with open(tmp_path / "log.jsonl", "a") as log:
        log.write('{"program": "cut sho')
    again = fuzz.run(range(5, 12), tmp_path, jobs=1, tell=said.append)

    assert [7] == [case.seed for case, _ in first]
    assert [7] == [case.seed for case, _ in again]
    assert [*range(1, 9), 9, 10, 11] == pretended
    assert any(line.startswith("4 of 7 cases were run before") for line in said)
    assert "6 passed, 1 differs" in said[-1]


def test_a_log_of_another_program_counts_nothing(pretended, tmp_path, monkeypatch) -> None:
    fuzz.run([1], tmp_path, jobs=1, tell=lambda text: None)
    monkeypatch.setattr(fuzz, "program_digest", lambda: "other")
    fuzz.run([1], tmp_path, jobs=1, tell=lambda text: None)

    assert [1, 1] == pretended
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert ["other"] == [json.loads(lines[1])["program"]]


def test_an_interrupted_run_loses_nothing(pretended, tmp_path) -> None:
    said: list[str] = []

    def tell(text):
        said.append(text)
        if text.startswith("[1/3"):
            raise KeyboardInterrupt

    fuzz.run([1, 2, 3], tmp_path, jobs=1, tell=tell)

    assert "stopped after 1 of 3 cases; the same command goes on" in said
    assert said[-1].startswith("1 passed\n")
    assert 1 == len((tmp_path / "log.jsonl").read_text().splitlines())


def test_a_failure_ends_with_its_command_and_status_1(pretended, tmp_path, capsys) -> None:
    status = fuzz.main(["2", "--seed", "6", "--folder", str(tmp_path), "--no-shrink"])

    assert status == 1
    out = capsys.readouterr().out
    assert out.endswith("repeat it: python -m signfire.tools.fuzz 1 --seed 7\n")
