"""Bench F6: models and data that did not arrive, each with the tests that prove that they do."""

import re
import sys
from collections.abc import Iterator

from .bench_house import spend
from .measure import ROOT, Measurement, bench

# Inputs that failed or were refused, and the tests of each: of a module, all or one of them.
CASES = {
    "two features of different ranges": (
        "test_gen_features::test_a_feature_of_0_to_1_beside_one_of_0_to_1000_has_its_own_range",
        "test_tools_bench_tables::test_a_small_feature_beside_a_large_one_decides_as_it_did",
    ),
    "tables standardised inside, constant features": (
        "test_gen_features::test_what_standardises_inside_is_absorbed_whatever_it_is_written_as",
        "test_gen_features::test_constant_features_are_taken_off_and_told_as_constants",
        "test_gen_features::test_every_reader_of_features_stays_near_the_floats",
        "test_tools_bench_tables::test_the_bench_pools_the_answers_of_all_folds",
    ),
    "steps of the input by what they cost": ("test_tools_input_steps",),
    "data in other units than were calibrated": (
        "test_gen_calibrated",
        "test_tools_bench_tables::test_data_in_other_units_are_told_by_the_verbs",
    ),
    "a read-out without weights": (
        "test_gen_trained_grids::test_biases_are_kept_where_there_are_no_weights",
        "test_gen_trained_grids::test_a_hidden_row_without_weights_keeps_its_bias",
    ),
    "trained ranges of fewer levels": (
        "test_gen_trained_grids::test_trained_step_is_kept_and_the_range_becomes_a_clamp",
        "test_gen_trained_grids::test_narrow_range_answers_as_the_training_does",
    ),
    "code that depends on the batch": (
        "test_gen_torch_import::test_model_that_depends_on_the_size_of_the_batch_is_refused",
        "test_gen_torch_import::test_model_that_computes_each_sample_by_itself_is_read",
    ),
    "one output": (
        "test_tools_heads::test_a_binary_classifier_is_judged_by_its_threshold",
        "test_tools_heads::test_a_threshold_is_chosen_on_labelled_samples",
        "test_tools_heads::test_a_threshold_is_said_in_what_forward_returns",
    ),
    "the real value of an output in every dynamics": (
        "test_tools_heads::test_the_logit_of_one_output_is_worth_its_value_in_every_dynamics",
        "test_gen_heads::test_a_logit_is_worth_what_the_float_network_says",
    ),
    "steps that cannot be": (
        "test_gen_calibrate::test_wrong_options_are_refused",
        "test_gen_calibrate::test_input_finer_than_its_factors_is_refused_before_any_work",
        "test_tools_analysis::test_steps_that_cannot_be_are_refused_before_any_work",
    ),
    "a deviation that divides, a deviation as a value": (
        "test_gen_torch_deviation::test_what_a_deviation_divides_is_that_of_the_model",
        "test_gen_torch_deviation::test_a_deviation_is_a_value",
    ),
    "the deviation of a dead channel": (
        "test_gen_torch_deviation::test_the_deviation_of_a_dead_channel_is_0",
    ),
    "programs, traces, torchao": (
        "test_gen_torch_programs::test_every_form_of_a_model_is_read",
        "test_gen_torch_programs::test_factory_may_return_a_program",
        "test_gen_levels::test_a_program_of_convert_pt2e_is_loaded",
    ),
    "channels chosen by a buffer": (
        "test_gen_torch_programs::test_channels_are_chosen_by_a_buffer",
        "test_gen_torch_programs::test_fixed_indices_move_elements",
    ),
    "links at the end": (
        "test_gen_torch_heads::test_a_link_is_taken_off_and_the_host_gives_what_forward_returns",
        "test_gen_torch_heads::test_an_ending_costs_no_neuron_and_the_host_gives_what_forward_"
        "returns",
    ),
    "decisions at the end": (
        "test_gen_torch_heads::test_a_decision_is_taken_off_and_the_host_decides_alike",
        "test_gen_torch_heads::test_an_ending_that_decides_costs_no_neuron_and_the_host_decides_"
        "alike",
        "test_gen_torch_heads::test_numbers_of_a_decision_are_remembered",
        "test_gen_torch_heads::test_a_row_with_one_1_is_the_class",
    ),
    "regressions and autoencoders": (
        "test_tools_heads::test_a_regression_is_known_by_its_labels",
        "test_tools_heads::test_an_autoencoder_is_known_by_its_samples_and_scored_by_its_error",
        "test_gen_heads::test_values_are_in_the_users_unit",
    ),
    "several outputs, tuples and dictionaries": (
        "test_gen_torch_heads::test_several_outputs_are_runs_of_logits_with_their_names",
        "test_tools_heads::test_several_outputs_are_each_what_their_labels_say",
    ),
    "planes as outputs": (
        "test_gen_torch_heads::test_planes_are_classes_of_pixels",
        "test_gen_heads::test_pixels_are_measured_by_their_unions",
        "test_sim_planes_out",
    ),
    "several inputs": ("test_gen_inputs",),
    "containers of weights, wrappers, safetensors, arguments": ("test_gen_states",),
    "integers of Brevitas and torchao": (
        "test_gen_torch_quantised",
        "test_gen_levels::test_operators_of_convert_pt2e_keep_their_integers",
        "test_gen_levels::test_powers_of_two_leave_no_integer_unlike",
    ),
    "tables, arrays and folders of images": ("test_tools_dataset",),
    "data without labels": (
        "test_tools_heads::test_unlabelled_samples_are_answered_and_compared_with_the_float_model",
        "test_tools_heads::test_studies_take_samples_without_labels",
    ),
}


@bench("F6", "Models and data that did not arrive")
def arrivals() -> Iterator[Measurement]:
    """Run the tests of each case, and count."""
    named = sorted(
        {f"tests/{test.replace('::', '.py::', 1)}" for of in CASES.values() for test in of}
    )
    asked = [test if "::" in test else f"{test}.py" for test in named]
    report = [sys.executable, "-m", "pytest", "-q", "-rA", "--no-header", "-p", "no:cacheprovider"]
    run = spend([*report, *asked], ROOT)
    outcomes = read(run.said)
    passed = [name for name, good in outcomes.items() if good]
    yield Measurement(
        what="tests that pass",
        value=len(passed),
        unit="tests",
        target=f"== {len(outcomes)}",
        details={"status": run.status},
    )
    held = {case: holds(case, outcomes) for case in CASES}
    yield Measurement(
        what="kinds of input whose tests all pass",
        value=sum(held.values()),
        unit="kinds",
        target=f"== {len(CASES)}",
        details={"missing": [case for case, good in held.items() if not good], "tests": CASES},
    )


def read(said: str) -> dict[str, bool]:
    """Return from what pytest says whether each test passed, by module::name[parameters]."""
    found = re.findall(r"^(PASSED|FAILED|ERROR) tests/(\w+)\.py(?:::(.*))?", said, re.M)
    outcomes: dict[str, bool] = {}
    for outcome, module, test in found:
        why = "" if outcome == "PASSED" else " - "  # which is behind the name
        name = f"{module}::{test.partition(why)[0] if why else test}"
        outcomes[name] = outcome == "PASSED" and outcomes.get(name, True)
    return outcomes


def holds(case: str, outcomes: dict[str, bool]) -> bool:
    """Whether every test of a case ran, and all of them passed."""
    for test in CASES[case]:
        own = [
            good
            for name, good in outcomes.items()
            if name == test or name.startswith((f"{test}[", f"{test}::"))
        ]
        if not own or not all(own):
            return False
    return True
