"""The command line: thin. It parses, calls and prints."""

from __future__ import annotations

import os
import sys

BAD_INPUT, INTERRUPTED = 1, 130


def main() -> None:
    """Run the command line; exit with 0, 1 (bad input) or 130 (interrupted)."""
    # Read by the libraries when they are imported, which happens inside the commands.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from babelmix._terminal import prepare, visible
    from babelmix.errors import BabelmixError

    prepare()

    try:
        code = _run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BabelmixError as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        sys.exit(BAD_INPUT)
    except BrokenPipeError:
        # The reader of our output has gone; there is no one to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BAD_INPUT)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(visible(f"error: {where}{error.strerror or error}"), file=sys.stderr)
        sys.exit(BAD_INPUT)
    if code == INTERRUPTED:
        print("interrupted: run the same command again to go on from what it kept", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # An interrupt inside exec(), as in a dataclass being made during an import, is remembered by CPython even when it
        # was caught, and an ordinary exit would then end as if killed by the signal instead of with our status.
        os._exit(INTERRUPTED)
    sys.exit(code)


def _run() -> int:
    import typer

    from babelmix._terminal import visible
    from babelmix.cli.app import app

    try:
        code = app(prog_name="babelmix", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as error:
        # A usage error words itself by `format_message`; its plain text lacks the option's name.
        message = getattr(error, "format_message", error.__str__)().rstrip(".")
        command = getattr(getattr(error, "ctx", None), "command_path", "babelmix")
        said = f"error: {message}{'' if message.endswith('?') else ';'} see  {command} --help"
        print(visible(said), file=sys.stderr)
        return BAD_INPUT
    return code if isinstance(code, int) else 0
