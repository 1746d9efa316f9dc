"""Pages of studies: sections of text, plots and a table, in one HTML file that needs nothing else.

Beside ``NAME.html`` stands ``NAME.json`` with all numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from .claim import BRIEF_S, claiming
from .console import to_json
from .report import write_text


@dataclass(frozen=True, kw_only=True)
class Plot:
    """An ``<svg>`` element, with a heading where several stand together."""

    svg: str
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One box of a page; cells of ``rows`` are shown as they are."""

    title: str
    text: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    notes: Sequence[str] = ()


@claiming("folder", wait_s=BRIEF_S)
def write_page(
    folder: Path | str,
    name: str,
    record: Mapping[str, Any],
    *,
    title: str,
    intro: str,
    sections: Sequence[Section],
    warnings: Sequence[str] = (),
    command: str = "",
) -> Path:
    """Write page and numbers into ``folder``, which is made if missing; return the page's path.

    ``warnings`` stand above all sections.
    """
    folder = Path(folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    shown = [
        {
            **vars(section),
            "plots": [{"title": p.title, "svg": Markup(p.svg)} for p in section.plots if p.svg],
        }
        for section in sections
    ]
    template = environment.get_template("study.html.jinja")
    page = template.render(
        title=title, intro=intro, warnings=warnings, sections=shown, command=command
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{name}.json", to_json(record, indent=2) + "\n")
    write_text(folder / f"{name}.html", page)
    return folder / f"{name}.html"
