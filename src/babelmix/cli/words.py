"""Tell options from texts that begin with a dash, as in `babelmix search '-5 degrees'`."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

_OPTION = re.compile(r"-[A-Za-z]+(=.*)?|--[A-Za-z][A-Za-z0-9-]*(=.*)?", re.DOTALL)
"""The form of an option. A word of this form is refused if the command has no such option; the error suggests a similar one."""


class Command(TyperCommand):
    """A command whose arguments may be texts that begin with a dash.

    A word is an option if it is the name of an option of this command, or if it has the form of one (`-x`, `--name`,
    `--name=value`). All other words are texts: for example `-5`, or a word with a space before its first `=`. All words after
    `--` are texts.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Move all texts behind `--`, in their order, if one of them begins with a dash. Then parse as usual."""
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
                # The next word is the option's value, even if it begins with a dash.
                options.append(rest.pop(0))
        if any(text.startswith("-") and text != "-" for text in texts):
            args = [*options, "--", *texts]
        return super().parse_args(ctx, args)


def _options(parameters: Any) -> tuple[set[str], set[str]]:
    """The names of a command's options: first those that take a value, then those that do not."""
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
    # `-k5` means `-k 5`. Behind a flag without a value only other flags can follow.
    return _OPTION.fullmatch(word) is not None or (not word.startswith("--") and word[:2] in valued)
