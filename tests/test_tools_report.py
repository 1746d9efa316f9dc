"""The report: what its JSON holds, that its page stands alone, and that kept stages are sound."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from signfire.sim.specimens.rate import as_rate
from signfire.tools import energy, pipeline, report, source, stages, tables
from signfire.tools.dataset import Dataset


@pytest.fixture
def job(make_design) -> pipeline.Job:
    rng = np.random.default_rng(2)
    data = Dataset(
        path="data.npz",
        x=rng.integers(0, 256, (15, 12), dtype=np.uint8),
        y=rng.integers(0, 4, 15),
    )
    design = make_design(sizes=(12, 8, 4))
    return pipeline.Job(design=design, data=data, command="signfire report <x> & y")


class Page(HTMLParser):
    """Collects what a page refers to and whether every element is closed."""

    VOID = ("meta", "br", "link", "img", "use", "path", "rect")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]

    def handle_endtag(self, tag) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(job, tmp_path) -> None:
    _, page = pipeline.report(job, tmp_path)
    text = page.read_text()

    parsed = Page(text)

    assert parsed.open == []
    assert [link for link in parsed.links if not link.startswith(("#", "data:"))] == []
    assert "@import" not in text and "url(http" not in text


def test_what_the_user_typed_is_escaped(job, tmp_path) -> None:
    _, page = pipeline.report(job, tmp_path)

    assert "signfire report &lt;x&gt; &amp; y" in page.read_text()


def test_the_json_holds_what_it_promises(job, tmp_path) -> None:
    pipeline.report(job, tmp_path)
    record = json.loads((tmp_path / "report.json").read_text())

    assert record["design_hash"] == job.design.hash
    assert record["accuracy"]["samples"] == 15
    assert record["accuracy"]["float"] is None  # a random design has no float model
    assert {"cycle", "bulk", "netlist", "bitstream"} == set(record["checks"])
    for key in ("cycles", "clock_hz", "latency_s", "throughput_per_s", "utilisation", "board"):
        assert key in record
    assert [layer["name"] for layer in record["layers"]] == ["input", "fc1", "fc2"]


def test_the_page_states_the_measured_accuracy(job, tmp_path) -> None:
    record, page = pipeline.report(job, tmp_path)

    assert report.percent(record["accuracy"]["golden"]) in page.read_text()


def test_a_page_without_samples_or_board_says_so(job) -> None:
    record = pipeline.describe(job)

    text = report.render(record)

    assert tables.of_report(record, "page") == ["report: page"]
    assert "not folded yet" in text
    assert text.count("not run") == len(pipeline.CHECKS)


def test_a_page_tells_cycles_that_depend_on_the_sample_from_those_that_hold_for_all(job) -> None:
    record = pipeline.describe(job)
    record |= {"clock_hz": 40e6, "latency_s": 764 / 40e6, "throughput_per_s": 40e6 / 374.7}
    record |= {"board": "icebreaker", "timing_trusted": True}
    cycles = {"latency": 764, "interval": 512, "first_logit": 698}
    spread = {"samples": 2000, "latency": 601.9, "worst_latency": 658, "interval": 374.7}

    for layer in record["layers"]:
        layer["folding"] = {"pe": 2, "simd": 1, "unroll": 1, "synapse": "events"}

    plain = report.render(record | {"cycles": cycles})
    record["layers"][1]["folding"]["skips"] = True
    text = report.render(record | {"cycles": cycles | {"spread": spread}})

    assert "764 cycles at 40.0 MHz" in plain
    assert 2 == plain.count("one sample every 512 cycles")
    assert "764 cycles at most, 602 on average, at 40.0 MHz" in text
    assert 2 == text.count("one sample every 375 cycles on average")
    assert (0, 1) == tuple(page.count("2, 1, 1, silent words skipped") for page in (plain, text))
    assert "No sample takes more than 764 cycles, nor 512 from one to the next." in text


def test_a_page_says_which_neurons_fire(job) -> None:
    rates = replace(job, design=as_rate(job.design))

    signs, rate = (report.render(pipeline.describe(each)) for each in (job, rates))

    assert "spiking network, settled firing, T = " in signs
    assert "spiking network, integrate-and-fire, rate code, T = 7" in rate


@pytest.mark.parametrize(
    ("curve", "said"), [((4,), "it takes two T&#39;s"), ((), "it was not asked for")]
)
def test_too_few_steps_for_a_curve_are_no_curve(job, tmp_path, monkeypatch, curve, said) -> None:
    model, samples = tmp_path / "model.pt2", tmp_path / "calibrate.npz"
    model.write_bytes(b"")
    np.savez(samples, x=job.data.x)
    model = pipeline.api.Model(spec=str(model), weights=None, calibrate=str(samples))
    origin = source.Source(model=model, digests={}, state=None)
    outputs = job.design.readout.size
    network = SimpleNamespace(answers=lambda x: np.zeros((len(x), outputs)))
    again = source.FloatModel(network=network, calibrate=job.data, differs=())
    monkeypatch.setattr(pipeline, "source_of", lambda *_: origin)
    monkeypatch.setattr(pipeline, "read_source", lambda *_: again)
    for name, answer in {
        "options_of": pipeline.api.Options(),
        "over_steps": [{"steps": t, "accuracy": 0.5} for t in curve],
    }.items():
        monkeypatch.setattr(pipeline.api, name, lambda *_, answer=answer: answer)

    _, page = pipeline.report(replace(job, curve=curve), tmp_path / "report")

    assert f"No curve over T: {said}." in page.read_text()


def test_a_second_run_uses_what_was_kept(job, tmp_path) -> None:
    first = stages.Stages(tmp_path)
    pipeline.accuracy(job, first)
    second = stages.Stages(tmp_path)
    pipeline.accuracy(job, second)

    assert first.done == ["golden"]
    assert second.done == []


def run_stage(folder, inputs, calls, **options) -> dict:
    def work() -> dict:
        calls.append(inputs)
        (folder / "out.bin").write_bytes(b"content")
        return {"value": len(calls)}

    return stages.Stages(folder, **options).run("s", "stage", inputs, work, files=["out.bin"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "out.bin").write_bytes(b"cut"),
        lambda folder: (folder / "out.bin").unlink(),
        lambda folder: (folder / ".stages/s.json").write_text("{"),
        lambda folder: (folder / ".stages/s.json").unlink(),
    ],
)
def test_a_damaged_result_is_not_trusted(tmp_path, spoil) -> None:
    calls: list = []
    run_stage(tmp_path, {"a": 1}, calls)
    assert run_stage(tmp_path, {"a": 1}, calls) == {"value": 1}

    spoil(tmp_path)

    assert run_stage(tmp_path, {"a": 1}, calls) == {"value": 2}


def test_other_inputs_or_fresh_do_the_work_again(tmp_path) -> None:
    calls: list = []
    run_stage(tmp_path, {"a": 1}, calls)

    assert run_stage(tmp_path, {"a": 2}, calls) == {"value": 2}
    assert run_stage(tmp_path, {"a": 2}, calls, fresh=True) == {"value": 3}


def test_a_failed_stage_keeps_nothing(tmp_path) -> None:
    calls: list = []
    run_stage(tmp_path, {"a": 1}, calls)

    def fail() -> dict:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        stages.Stages(tmp_path).run("s", "stage", {"a": 2}, fail)

    assert not (tmp_path / ".stages/s.json").exists()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.1e-5, "s", "21.0 µs"),
        (12.5e6, "Hz", "12.5 MHz"),
        (999.6, "Hz", "1.00 kHz"),
        (3, "J", "3.00 J"),
        (0, "W", "0 W"),
        (None, "s", "not known"),
    ],
)
def test_numbers_carry_their_prefix(value, unit, text) -> None:
    assert report.si(value, unit) == text


def test_the_energy_of_a_hand_worked_case() -> None:
    found = energy.estimate(device="iCE40UP5K", cells=3473, clock_hz=24e6, interval_cycles=2400)

    # 14.2 mW switching, as published, and 0.1 mW standby, for 100 µs
    assert found.power_w == pytest.approx(14.3e-3)
    assert found.energy_j == pytest.approx(1.43e-6)
    assert found.energy_low_j < found.energy_j < found.energy_high_j


def test_an_unknown_device_gets_no_energy() -> None:
    assert energy.estimate(device="XC7A35T", cells=1, clock_hz=1.0, interval_cycles=1) is None


def test_ids_of_the_plots_do_not_collide(job, tmp_path) -> None:
    _, page = pipeline.report(job, tmp_path)
    ids = re.findall(r'<clipPath id="([^"]+)"', page.read_text())

    assert len(ids) == len(set(ids)) > 0
