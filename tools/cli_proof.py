"""Verbs that prove what was built; imported as thinly as :mod:`.cli` itself."""

import click

COMMANDS: tuple[click.Command, ...] = ()
