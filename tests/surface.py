"""What callers rely on, as text. `python tests/surface.py` writes both files anew.

`public.txt` holds the Python names: those of `babelmix`, `babelmix.errors`, `babelmix.extend` and `babelmix.testing`, with their
parameters.
`interface.txt` holds what has a name elsewhere: commands and options, keys of an experiment's file, readers, strategies, metrics.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = Path(__file__).with_name("public.txt")
INTERFACE = Path(__file__).with_name("interface.txt")

MODULES = {"": griffe.Object, "errors": griffe.Class, "extend": griffe.Function, "testing": griffe.Function}
"""The modules whose names are promised, below `babelmix`; where a module has no `__all__`, those of its own of this kind."""

NAMED = {
    "readers": "corpus.readers:READERS",
    "batch strategies": "batches:STRATEGIES",
    "ranking metrics": "evaluation.metrics:METRICS",
    "bias metrics": "evaluation.bias:BIAS_METRICS",
    "losses": "training.registry:LOSSES",
    "encoder kinds": "encoders.kinds:KINDS",
    "removal methods": "encoders.debias:METHODS",
    "search engines": "search.engines:ENGINES",
    "systems": "evaluation.systems:SYSTEMS",
}
"""Where each kind of named thing is registered."""


def parameters(function: griffe.Function) -> str:
    """Names and defaults in their order, with `*` before what goes by name only."""
    shown: list[str] = []
    bare = False
    for one in function.parameters:
        if one.name in ("self", "cls"):
            continue
        starred = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(one.kind, "")
        bare |= starred == "*"
        if one.kind is griffe.ParameterKind.keyword_only and not bare:
            shown.append("*")
            bare = True
        default = f"={one.default}" if one.default is not None and not starred else ""
        shown.append(f"{starred}{one.name}{default}")
    return f"({', '.join(shown)})"


def described(name: str, found: griffe.Object | griffe.Alias, promised: Sequence[str]) -> list[str]:
    """A name with its parameters; under a class its public methods and properties, but for those of a promised base class."""
    thing: Any = found.final_target if isinstance(found, griffe.Alias) else found
    if isinstance(thing, griffe.Function):
        return [name + parameters(thing)]
    if not isinstance(thing, griffe.Class):
        return [name]
    made = thing.members.get("__init__")
    bases = [base for base in thing.mro() if base.name in promised]
    line = f"class {name}" + (parameters(made) if isinstance(made, griffe.Function) else "")
    lines = [line + "".join(f": {base.name}" for base in bases[:1])]
    for member, inner in sorted(thing.all_members.items()):
        if member.startswith("_") or any(member in base.all_members for base in bases):
            continue
        method: Any = inner.final_target if isinstance(inner, griffe.Alias) else inner
        if isinstance(method, griffe.Function):
            lines.append(f"  .{member}{parameters(method)}")
        elif "property" in method.labels:
            lines.append(f"  .{member}")
    return lines


def defined(package: Any, module: Any, name: str) -> griffe.Object | griffe.Alias:
    """What a module means by a name: a function also where a module of the same name lies beside it."""
    if name not in module.imports:
        return module.members[name]
    parent, _, name = module.imports[name].rpartition(".")
    return defined(package, package[parent.removeprefix("babelmix.")], name)


def python_names(package: Any) -> list[str]:
    """The names of every promised module."""
    lines = []
    for path, kind in MODULES.items():
        title = ".".join(filter(None, ("babelmix", path)))
        module = package[path] if path else package
        exported = getattr(importlib.import_module(title), "__all__", None)
        if exported is None:
            exported = [
                name
                for name, member in module.members.items()
                if not name.startswith("_") and isinstance(member, kind)
            ]
        lines += ["", f"# {title}"]
        # The front door imports a name at its first use; for type checkers it imports all of them, which griffe reads.
        for name in sorted(exported):
            lines += described(name, defined(package, module, name), exported)
    return lines


def commands() -> list[str]:
    """The commands with their arguments, options and defaults."""
    import typer

    from babelmix.cli.app import app

    root: Any = typer.main.get_command(app)
    lines = ["", "# the command line", *(f"babelmix {'/'.join(option.opts)}" for option in root.params)]
    for name in sorted(root.commands):
        command = root.commands[name]
        lines.append(f"babelmix {name}")
        for one in command.params:
            if one.param_type_name == "argument":
                lines.append(f"  {one.name.upper()}{'' if one.required else '?'}{'' if one.nargs == 1 else '...'}")
                continue
            line = "/".join([*one.opts, *one.secondary_opts])
            if not one.is_flag:
                line += f" {one.metavar or one.name.upper()}"
            line += " (again)" if one.multiple else ""
            line += " (needed)" if one.required else f" = {one.default!r}"
            lines.append(f"  {line}")
    return lines


def settings() -> list[str]:
    """The keys of an experiment's TOML file."""
    from pydantic import BaseModel

    from babelmix.experiment.config import RESERVED, Experiment, section_of
    from babelmix.training import TrainingSettings

    def walk(model: type[BaseModel], path: str) -> Iterator[str]:
        for name, field in model.model_fields.items():
            if section := section_of(field.annotation):
                yield from walk(section, f"{path}{name}.")
            elif not (model is TrainingSettings and name in RESERVED):
                yield path + name

    return ["", "# an experiment's TOML file", *walk(Experiment, "")]


def named() -> list[str]:
    """The readers, strategies, metrics and so on that can be named in a command or in an experiment's file."""
    lines = []
    for title, place in NAMED.items():
        module, _, attribute = place.partition(":")
        lines += [
            "",
            f"# {title}",
            *sorted(filter(None, getattr(importlib.import_module(f"babelmix.{module}"), attribute))),
        ]
    experiments = (ROOT / "src" / "babelmix" / "experiment" / "bundled").glob("*.toml")
    return [*lines, "", "# bundled experiments", *sorted(file.stem for file in experiments)]


def surface() -> dict[Path, str]:
    """The content of both files."""
    package = griffe.load("babelmix", search_paths=[ROOT / "src"])
    parts = {PUBLIC: python_names(package), INTERFACE: [*commands(), *settings(), *named()]}
    return {file: "\n".join(lines).strip() + "\n" for file, lines in parts.items()}


if __name__ == "__main__":
    for file, text in surface().items():
        file.write_text(text, encoding="utf-8")
