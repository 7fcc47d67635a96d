"""The command line: thin. It parses, calls and prints."""

from __future__ import annotations

BAD_INPUT = 1


def main() -> None:
    """Run the command line; exit with 0, 1 (bad input) or 130 (interrupted)."""
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
            # A library has made another error of it.
            interrupts.leave()
        raise
    raise SystemExit(code)


def _checked() -> int:
    """The status, with every error that babelmix raises, or the system does, as a line."""
    import os
    import sys

    # Read by the libraries when they are imported, which happens inside the commands.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from babelmix._interrupts import interrupts
    from babelmix._terminal import prepare, visible
    from babelmix.errors import ArgumentError, BabelmixError

    prepare()
    try:
        return _run()
    except ArgumentError as error:
        dashes = "-" if len(error.argument) == 1 else "--"
        said = f"error: {dashes}{error.argument.replace('_', '-')}: {error.why}"
    except BabelmixError as error:
        said = f"error: {error}"
    except BrokenPipeError:
        # The reader of our output has gone; there is no one to tell.
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
        # A usage error words itself by `format_message`; its plain text lacks the option's name.
        message = getattr(error, "format_message", error.__str__)().rstrip(".")
        command = getattr(getattr(error, "ctx", None), "command_path", "babelmix")
        said = f"error: {message}{'' if message.endswith('?') else ';'} see  {command} --help"
        if not interrupts.came():
            print(visible(said), file=sys.stderr)
        return BAD_INPUT
    if code == INTERRUPTED:
        # Typer makes a status of the exception.
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
