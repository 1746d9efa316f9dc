"""What a command prints of names and paths that users and files choose."""

import io
import json
import logging
import warnings

import click
import numpy as np
import pytest
from rich.table import Table

from signfire.tools import console
from signfire.tools.console import Plain, is_users_doing, shown, told, visible, working

MARKED = "[red]x/c.npz[/red] :smile: [link=file:///etc]"


def printed(part) -> str:
    out = io.StringIO()
    Plain(file=out, width=200, force_terminal=True).print(part)
    return out.getvalue()


def test_a_string_is_printed_letter_for_letter() -> None:
    assert f"{MARKED}\n" == printed(MARKED)


def test_cells_titles_and_headers_of_tables_are_too() -> None:
    table = Table(title=MARKED, box=None)
    table.add_column(MARKED)
    table.add_row(MARKED)

    assert 3 == printed(table).replace("\x1b[3m", "").replace("\x1b[1m", "").count(MARKED)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\rb\x00", r"a\rb\x00"),
        ("\udcff", r"\udcff"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b2J", r"\x9b2J"),
        ("two\nlines\tand σ", "two\nlines\tand σ"),
    ],
)
def test_characters_that_steer_a_terminal_are_shown_by_their_codes(text, seen) -> None:
    assert seen == visible(text)
    assert seen.expandtabs() in printed(text).expandtabs()


@pytest.mark.parametrize("terminal", [True, False])
def test_what_goes_on_is_told_letter_for_letter(monkeypatch, terminal) -> None:
    out = io.StringIO()
    progress = Plain(file=out, width=200, force_terminal=terminal, color_system=None)
    monkeypatch.setattr(console, "progress", progress)

    with shown(MARKED) as doing:
        doing(MARKED)
    told("kept", MARKED)
    with working(MARKED) as doing:
        doing(MARKED)

    assert f"  done  {MARKED} (" in out.getvalue()
    assert f"  kept  {MARKED} \n" in out.getvalue()
    assert not terminal or f"{MARKED}: {MARKED}" in out.getvalue()


def test_a_refusal_in_a_package_of_a_room_is_the_users_doing(make_design) -> None:
    design = make_design(sizes=(4, 3))
    try:
        design.raw_samples(__import__("numpy").zeros((1, 5)))
    except ValueError as error:
        assert is_users_doing(error)
    try:
        int("x")
    except ValueError as error:
        assert not is_users_doing(error)


@pytest.mark.parametrize("fail", [lambda: json.loads("{"), lambda: np.zeros(2).reshape(3)])
def test_an_error_that_a_library_raises_is_no_refusal(fail) -> None:
    with pytest.raises(ValueError) as error:
        fail()

    assert not is_users_doing(error.value)


def test_an_error_within_signfire_that_nobody_raised_is_no_refusal(make_design) -> None:
    with pytest.raises(TypeError) as error:
        make_design().with_folding(7)

    assert not is_users_doing(error.value)


def test_a_lack_of_memory_is_one_line(capsys) -> None:
    import click

    @click.command()
    def hungry() -> None:
        raise MemoryError("Unable to allocate 64. GiB for an array")

    assert console.USER == console.run_program(hungry, "hungry", [])
    assert (
        "hungry: there is not enough memory for this (Unable to allocate 64. GiB for an array)\n"
        == capsys.readouterr().err
    )


LIBRARY = """import logging, warnings


def old():
    warnings.warn("this is old", UserWarning)
    logging.getLogger("library").warning("this is logged")


def old_of_the_caller(text):
    warnings.warn(text, UserWarning, stacklevel=2)
"""
OWN = """import logging, warnings
import aged


def net():
    aged.old()
    warnings.warn("mine\\nand more", UserWarning)
    aged.old_of_the_caller("of the caller")
    aged.old_of_the_caller("use `weights_only=False`")
    logging.getLogger("own").warning("logged by %s", "me")
"""


def test_warnings_of_the_users_code_are_a_line_each_and_those_of_libraries_are_not_shown(
    tmp_path, monkeypatch, capfd
):
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "aged.py").write_text(LIBRARY)
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(installed)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    before = warnings.showwarning, logging.lastResort

    @click.group()
    def group():
        pass

    @group.command()
    def warn():
        warnings.simplefilter("always")
        import own

        own.net()
        return console.DONE

    assert console.DONE == console.run_program(group, "signfire", ["warn"])

    lines = capfd.readouterr().err.splitlines()
    assert lines[:3] == [
        "signfire: warning: mine (own.py:7)",
        "signfire: warning: of the caller (own.py:8)",
        "signfire: warning: logged by me",
    ]
    assert before == (warnings.showwarning, logging.lastResort)
    assert not any("old" in line or "weights_only" in line for line in lines)


def test_a_warning_within_signfire_is_not_shown(capfd):
    with console.users_warnings("signfire"):
        warnings.simplefilter("always")
        warnings.warn_explicit("overflow", RuntimeWarning, console.__file__, 5)
        warnings.warn_explicit("overflow", RuntimeWarning, np.__file__, 5)

    assert "" == capfd.readouterr().err
