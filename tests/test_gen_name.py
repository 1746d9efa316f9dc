"""The word that a network or a design goes by."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from signfire.gen.front.export import import_network
from signfire.gen.model.name import check_name

END = "(choose one with --name)"
BAD = [
    ("../../x", "must hold no / and no \\, since files are named by it: '../../x'"),
    ("a\\b", "must hold no / and no \\, since files are named by it: 'a\\\\b'"),
    ("..", "must not begin with a dot, since files are named by it: '..'"),
    (".stages", "must not begin with a dot, since files are named by it: '.stages'"),
    ("a\0b", "must be printable: 'a\\x00b'"),
    ("a\nb", "must be printable: 'a\\nb'"),
    ("a\udcffb", "must be printable: 'a\\udcffb'"),
    ("  ", "must not be empty: '  '"),
    ("", "must not be empty: ''"),
    ("σ" * 51, f"must have at most 100 bytes, not 102: {'σ' * 40!r}"),
]


@pytest.mark.parametrize(("name", "fault"), BAD)
def test_a_name_that_no_file_may_have_is_refused(name, fault, make_design) -> None:
    sentence = f"the name of a design {fault} {END}"

    for refuse in (
        lambda: check_name(name),
        lambda: replace(make_design(sizes=(4, 3)), name=name),
        lambda: import_network(nn.Linear(4, 3), np.ones((7, 4)), name),
    ):
        with pytest.raises(ValueError) as caught:
            refuse()
        assert sentence == str(caught.value)


@pytest.mark.parametrize("name", ["mlp32", "my net-2", "σ(x)", "a" * 100, "[red]"])
def test_any_printable_word_is_a_name(name) -> None:
    assert name == check_name(name)


def test_a_name_is_a_word() -> None:
    with pytest.raises(TypeError, match=r"^the name of a design is a word, not int$"):
        check_name(3)
