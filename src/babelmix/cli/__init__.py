"""The command line. A command parses its options, calls a function of babelmix and prints the result."""

from __future__ import annotations

BAD_INPUT = 1


def main() -> None:
    """Run the command line; exit with 0, 1 (bad input), 3 (a rule of --fail-if is broken) or 130 (interrupted)."""
    from babelmix._interrupts import interrupts

    code = BAD_INPUT
    try:
        interrupts.catch()
        code = _checked()
        interrupts.end()
    except KeyboardInterrupt:
        interrupts.leave()
    except BaseException:
        if interrupts.came():
            # A library turned the interruption into another exception.
            interrupts.leave()
        raise
    raise SystemExit(code)


def _checked() -> int:
    """Run the command and return its exit status. Print errors of babelmix and of the operating system as one line."""
    import os
    import sys

    # Libraries read these when they are imported. The commands import them later.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from babelmix._interrupts import interrupts
    from babelmix._terminal import prepare, visible
    from babelmix.errors import ArgumentError, BabelmixError, missing_extra

    prepare()
    try:
        return _run()
    except ArgumentError as error:
        dashes = "-" if len(error.argument) == 1 else "--"
        said = f"error: {dashes}{error.argument.replace('_', '-')}: {error.why}"
    except BabelmixError as error:
        said = f"error: {error}"
    except ModuleNotFoundError as error:
        missing = missing_extra(error, "This command")
        if missing is None:
            raise
        said = f"error: {missing}"
    except BrokenPipeError:
        # The program that reads our output has ended, so no message is printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD_INPUT
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        said = f"error: {where}{error.strerror or error}"
    if not interrupts.came():
        print(visible(said), file=sys.stderr)
    return BAD_INPUT


def _run() -> int:
    import sys

    import typer

    from babelmix._interrupts import INTERRUPTED, interrupts
    from babelmix._terminal import visible
    from babelmix.cli.app import app

    try:
        code = app(prog_name="babelmix", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        # The message of `format_message` names the option; the plain text of the error does not.
        message = getattr(error, "format_message", error.__str__)().rstrip(".")
        command = getattr(getattr(error, "ctx", None), "command_path", "babelmix")
        said = f"error: {message}{'' if message.endswith('?') else ';'} see  {command} --help"
        if not interrupts.came():
            print(visible(said), file=sys.stderr)
        return BAD_INPUT
    if code == INTERRUPTED:
        # Typer turns the interruption into an exit status.
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
