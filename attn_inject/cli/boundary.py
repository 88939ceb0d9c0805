"""The one place where failures become messages and exit codes.

A user's mistake becomes one paragraph on stderr; a fault of attn-inject keeps its traceback. With `--json`
every failure except a usage error also prints one document on stdout.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand

from attn_inject.cli.stopping import Stopped, ending_by_signal
from attn_inject.display.documents import error_document, json_text
from attn_inject.display.escaping import printable
from attn_inject.errors import AttnInjectError, InterruptedByUserError, MissingExtraError, UsageError

EXIT_CODES = {
    0: "done",
    1: "our bug",
    2: "usage",
    3: "unknown name",
    4: "a library or extra is missing or broken",
    5: "the model cannot be loaded or run",
    6: "no site found",
    7: "a placement or module does not fit",
    8: "a check failed, nothing was saved",
    9: "a file is unreadable, untrusted or unwritable",
    10: "a zoo finished with failures",
    130: "interrupted",
}
MEANT_COMMAND = "attn_inject.meant_command"
LIBRARIES = ("torch", "torchvision", "timm", "fvcore", "safetensors")

# Some versions of typer bundle their parser, others depend on it: this name exists in both.
_ParseError: type[Exception] = typer.BadParameter.__bases__[0]


class Command(TyperCommand):
    """A command whose failures are reported by this file."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; every failure ends in `typer.Exit` with its code."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError, Stopped):
            raise
        except KeyboardInterrupt:
            raise _told(InterruptedByUserError("Interrupted."), ctx) from None
        except AttnInjectError as error:
            raise _told(error, ctx) from None
        except Exception as error:
            if is_broken_library(error):
                raise _told(_broken_library(error), ctx) from None
            raise _told(_bug(error), ctx, cause=error) from None


def run(command: Any, arguments: Sequence[str] | None) -> int:
    """Run the program and return its exit code; a closed pipe is not a failure."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with ending_by_signal() as was_interrupted, warnings.catch_warnings():
            _quieten_libraries()
            code = _run(command, arguments)
            if was_interrupted() and code != InterruptedByUserError.exit_code:
                print_error("Interrupted.", "")
                code = InterruptedByUserError.exit_code
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as stop:
        if not _is_closed_pipe(stop):
            raise
        _discard_output()
        return 0
    if _is_held_up():
        sys.stderr.flush()
        os._exit(code)
    return code


def _is_held_up() -> bool:
    """Whether a thread that other people's code left running would keep the program from ending."""
    if threading.active_count() == 1:
        return False
    from attn_inject.operate.left_threads import is_held_up

    return is_held_up()


def _run(command: Any, arguments: Sequence[str] | None) -> int:
    try:
        code = command.main(args=arguments, prog_name="attn-inject", standalone_mode=False)
    except _ParseError as error:
        ctx = getattr(error, "ctx", None)
        print_error(error.format_message(), _usage_hint(ctx))  # type: ignore[attr-defined]
        return UsageError.exit_code
    return code if isinstance(code, int) else 0


def _told(error: AttnInjectError, ctx: Any, *, cause: Exception | None = None) -> typer.Exit:
    """Report `error` to the user and return the exit to raise."""
    is_usage = error.exit_code == UsageError.exit_code
    hint = f"{error.hint} {_meant(ctx) if is_usage else ''}".strip()
    if wants_json(ctx.params) and not is_usage:
        sys.stdout.write(json_text(error_document(error.code, error.message, error.hint)))
    if error.exit_code == AttnInjectError.exit_code:
        traceback.print_exception(cause or error)
    else:
        print_error(error.message, hint)
    return typer.Exit(error.exit_code)


def wants_json(params: dict[str, Any]) -> bool:
    """Whether a document was requested: `--json`, or `--format json`."""
    return bool(params.get("as_json")) or params.get("form") == "json"


def print_error(message: str, hint: str) -> None:
    """`error: ...` and `hint: ...` on stderr, wrapped on a terminal only."""
    console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
    labelled = [("error: ", "bold red", message), ("hint: ", "bold cyan", hint)]
    for label, style, text in labelled:
        if text:
            line = Text.assemble((label, style), printable(text))
            console.print(line, soft_wrap=not sys.stderr.isatty())


def _quieten_libraries() -> None:
    """Warnings in one line; those for authors of libraries are hidden, unless Python is told to show them."""
    warnings.showwarning = _show_warning
    if not sys.warnoptions:
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {printable(str(message))}", file=sys.stderr)


def is_broken_library(error: BaseException) -> bool:
    """Whether a required library failed to import, by itself or because it does not match another."""
    if isinstance(error, ImportError) and _is_of_library(error.name):
        return True
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(
        frame.f_code.co_name == "<module>" and _is_of_library(frame.f_globals["__name__"]) for frame in frames
    )


def _is_of_library(module: str | None) -> bool:
    return (module or "").partition(".")[0] in LIBRARIES


def _broken_library(error: Exception) -> MissingExtraError:
    return MissingExtraError(
        f"A library that attn-inject needs cannot be imported: {type(error).__name__}: {error}.",
        hint="`attn-inject doctor` says which one, and how to repair it.",
    )


def _bug(error: Exception) -> AttnInjectError:
    return AttnInjectError(
        f"{type(error).__name__}: {error}", hint="This is a fault of attn-inject; the traceback is on stderr."
    )


def _usage_hint(ctx: Any) -> str:
    if ctx is None:
        return "`attn-inject --help` shows every command."
    lines = Text.from_markup(ctx.command.epilog or "").plain.splitlines()
    example = next(
        (f"For example `{line.removeprefix('$ ')}`; " for line in lines if line.startswith("$ ")), ""
    )
    return _meant(ctx) or f"{example}`{ctx.command_path} --help` shows every option."


def _meant(ctx: Any) -> str:
    meant = ctx.meta.get(MEANT_COMMAND)
    return f"Did you mean the command `attn-inject {meant}`?" if meant else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, its causes and its contexts."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_closed_pipe(stop: BaseException) -> bool:
    """Whether a SystemExit came from writing into a closed pipe, as rich and typer raise it."""
    return any(isinstance(link, BrokenPipeError) for link in _chain(stop))


def _discard_output() -> None:
    """Let the interpreter discard the remaining output when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):
            continue
