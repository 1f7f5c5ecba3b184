"""`specdec presets`: the shipped presets, and what each sets."""

from __future__ import annotations

from typing import Annotated

import typer

from specdec_cli.cli.options import JsonOption
from specdec_cli.settings import find_preset, list_presets, load_settings

app = typer.Typer(help="Show the presets.", no_args_is_help=True, rich_markup_mode="rich")


@app.command("list")
def list_shipped() -> None:
    """List the shipped presets."""
    from specdec_cli.reporting.console import out
    from specdec_cli.reporting.presets import presets_table

    out().print(presets_table(list_presets()))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name from `specdec presets list`, or a .yaml file.")],
    as_json: JsonOption = False,
) -> None:
    """Show the settings that a preset gives, and where each comes from."""
    from specdec_cli.reporting.console import out, print_json
    from specdec_cli.reporting.presets import settings_record, settings_table

    preset, resolved = find_preset(name), load_settings(name, flags={})
    if as_json:
        print_json(settings_record(resolved, preset))
    else:
        out().print(settings_table(resolved, preset))
