"""What is a text and what is an option, where both may begin with a dash: `babelmix search '-5 degrees'`."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

_OPTION = re.compile(r"-[A-Za-z]+(=.*)?|--[A-Za-z][A-Za-z0-9-]*(=.*)?", re.DOTALL)
"""What looks like an option; if there is none of that name, it is refused, with what it may have been."""


class Command(TyperCommand):
    """A command whose arguments may begin with a dash.

    An option is what is called as one of the command's, and what looks as if it was meant to be one. Everything else is a text:
    what has a space before its first `=`, a digit or a letter other than a to z behind the dash. After `--` all is text.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put texts that begin with a dash behind `--`, together with all other arguments, so that they keep their order."""
        texts: list[str] = []
        rest = list(args)
        options: list[str] = []
        valued, flags = _options(self.get_params(ctx))
        while rest:
            one = rest.pop(0)
            if one == "--":
                texts += rest
                break
            if not _is_option(one, valued, flags):
                texts.append(one)
                continue
            options.append(one)
            if one in valued and rest:
                # The next word is its value, whatever it begins with.
                options.append(rest.pop(0))
        if any(text.startswith("-") and text != "-" for text in texts):
            args = [*options, "--", *texts]
        return super().parse_args(ctx, args)


def _options(parameters: Any) -> tuple[set[str], set[str]]:
    """The names of a command's options, of those that take a value and of those that do not."""
    valued: set[str] = set()
    flags: set[str] = set()
    for parameter in parameters:
        if parameter.param_type_name == "option":
            takes = not parameter.is_flag and not parameter.count
            (valued if takes else flags).update([*parameter.opts, *parameter.secondary_opts])
    return valued, flags


def _is_option(word: str, valued: set[str], flags: set[str]) -> bool:
    if len(word) < 2 or not word.startswith("-"):
        return False
    if word.partition("=")[0] in valued | flags:
        return True
    # -k5 is -k 5; a flag has nothing behind it but other flags.
    return _OPTION.fullmatch(word) is not None or (not word.startswith("--") and word[:2] in valued)
