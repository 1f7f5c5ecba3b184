"""The program `specdec`: its commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import typer

from specdec_cli import __version__
from specdec_cli.cli import interrupts, models, presets, trees
from specdec_cli.cli.audit import audit
from specdec_cli.cli.bench import bench, compare
from specdec_cli.cli.demo import demo
from specdec_cli.cli.distill import distill
from specdec_cli.cli.ensemble import ensemble
from specdec_cli.cli.evaluate import evaluate
from specdec_cli.cli.generate import generate
from specdec_cli.cli.inspect import inspect
from specdec_cli.cli.offload_bench import offload_bench
from specdec_cli.cli.replay import replay
from specdec_cli.cli.report import report
from specdec_cli.errors import INTERRUPTED, RUNTIME, USAGE, InputError, ResourceError, SpecdecError
from specdec_cli.progress import VARIABLE, show_log
from specdec_cli.storage.failures import is_full, is_out_of_memory, out_of_memory, reason

COMMANDS = (
    generate,
    ensemble,
    bench,
    offload_bench,
    report,
    compare,
    evaluate,
    inspect,
    replay,
    distill,
    audit,
    demo,
)
USAGE_ERROR: Any = typer.BadParameter.__base__  # typer exports no name for what its parser raises
GROUPS = {"models": models.app, "presets": presets.app, "trees": trees.app}

app = typer.Typer(
    name="specdec",
    help="Generate text faster with speculative decoding, without changing what the model says.",
    epilog="Every setting can also be given as a variable, such as SPECDEC_TEMPERATURE=0.7, or in a preset.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for _command in COMMANDS:
    app.command()(_command)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"specdec {__version__}")
        raise typer.Exit


@app.callback()
def specdec(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="On an error, show where it happened. Works after a command too.")
    ] = False,
) -> None:
    """Take the options that stand before a command; `main` acts on --debug, and --version acts by itself."""


def main() -> None:
    """Run the program. It ends in SystemExit, with the exit code of the contract."""
    _open_streams()
    _forget_odd_sizes()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a narrow terminal encoding is no reason to stop
    # Large pages for large tensors: reading weights is what decoding waits for (docs/results.md).
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv[1:])
    try:
        show_log(os.environ.get(VARIABLE, ""))
        with interrupts.remembered():
            _run(["--debug", *arguments] if debug else arguments)
    except BrokenPipeError:  # the reader has seen enough, as in `specdec ... | head`
        raise SystemExit(RUNTIME) from None
    except KeyboardInterrupt:
        raise SystemExit(interrupts.exit_code()) from None
    except Exception as error:
        if interrupts.seen():  # a library took the interrupt for a failure of its own
            raise SystemExit(interrupts.exit_code()) from None
        raise SystemExit(_report(error, debug or _debug_variable())) from None
    finally:
        _settle()


def _open_streams() -> None:
    """Give closed standard streams something to read from and to write to.

    Files that are opened later would take their numbers, and get what is meant for the streams.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()


def _forget_odd_sizes() -> None:
    """Leave out sizes of the screen that rich would stumble over: it takes all that is called a digit."""
    for name in ("COLUMNS", "LINES"):
        if re.fullmatch("[0-9]{1,5}", os.environ.get(name, "")) is None:
            os.environ.pop(name, None)


def _nowhere() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(os.devnull, "w"), encoding="utf-8")


def _settle() -> None:
    """Write out what is left; what cannot be written is dropped, or Python would complain of it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(arguments: list[str]) -> None:
    try:
        code = app(arguments, prog_name="specdec", standalone_mode=False)
    except USAGE_ERROR as error:
        raise _as_input_error(error) from None
    finally:
        sys.stdout.flush()
    raise SystemExit(interrupts.exit_code() if code == INTERRUPTED else code or 0)  # typer knows Ctrl-C alone


def _as_input_error(error: Any) -> Exception:
    """A mistake in the command line as the other errors are: a problem and a hint."""
    if type(error).__name__ == "NoArgsIsHelpError":  # the help is the answer
        error.show()
        return SystemExit(USAGE)  # type: ignore[return-value]
    path = error.ctx.command_path if error.ctx else "specdec"
    stray = "extra argument" in error.format_message() and path.endswith(("generate", "ensemble"))
    hint = 'Give the prompt as -p "...".' if stray else f"`{path} --help` lists what it takes."
    problem = " ".join(error.format_message().split())
    return InputError(problem if problem.endswith((".", "?")) else f"{problem}.", hint)


def _debug_variable() -> bool:
    return os.environ.get("SPECDEC_DEBUG", "").lower() not in ("", "0", "false")


def _report(error: Exception, debug: bool) -> int:
    """Tell the user, and give the exit code."""
    from specdec_cli.redaction import redacted
    from specdec_cli.reporting.console import report_error

    told = error if isinstance(error, SpecdecError) else _as_specdec_error(error)
    with suppress(OSError):  # there is nobody to tell
        if debug:
            sys.stderr.write(redacted("".join(traceback.format_exception(error))))
        report_error(told)
    return told.exit_code


def _as_specdec_error(error: Exception) -> SpecdecError:
    """What a user can do about an error that no part of the program has explained."""
    full = next((each for each in _causes(error) if is_full(each)), None)
    if isinstance(full, OSError):
        problem = f"There is no room to write{_file_of(full)}: {reason(full)}."
        return ResourceError(
            problem, "Free some space, and run the same command again: what was finished is kept."
        )
    if any(is_out_of_memory(each) for each in _causes(error)):
        return out_of_memory("The command cannot go on")
    if isinstance(error, OSError):
        hint = "Check that there is space, and that what is read and written may be."
        return SpecdecError(f"The system refused a file: {error.strerror or error}{_file_of(error)}.", hint)
    if isinstance(error, RecursionError):
        hint = "Check what was given: a file, a preset, a chat template."
        return InputError("Something that was given is nested too deeply.", hint)
    message = ": ".join(filter(None, (type(error).__name__, str(error).partition("\n")[0])))
    return SpecdecError(message, "Run again with --debug to see where.")


def _file_of(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
