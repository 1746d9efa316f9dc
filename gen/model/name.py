"""The word that a network or a design goes by: in reports, in Verilog and in paths of files."""

import unicodedata

LONGEST = 100  # bytes; file names have 255, and more is added to a name


def check_name(name: object) -> str:
    """Return ``name``, if files may be named by it.

    Raises
    ------
    TypeError
        If it is no text.
    ValueError
        If it is empty or longer than :data:`LONGEST` bytes, begins with a dot, or holds a
        separator of paths or a character that cannot be printed.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a design is a word, not {type(name).__name__}")
    try:
        count = len(name.encode())
    except UnicodeEncodeError:
        count = 0  # half a character: refused below
    fault = ""
    if not name.strip():
        fault = "must not be empty"
    elif not name.isprintable() or any(unicodedata.category(c) == "Cs" for c in name):
        fault = "must be printable"
    elif any(c in name for c in "/\\"):
        fault = "must hold no / and no \\, since files are named by it"
    elif name.startswith("."):
        fault = "must not begin with a dot, since files are named by it"
    elif count > LONGEST:
        fault = f"must have at most {LONGEST} bytes, not {count}"
    if fault:
        raise ValueError(f"the name of a design {fault}: {name[:40]!r} (choose one with --name)")
    return name
