"""The public surface as text: what `public.txt` holds. `python tests/surface.py` writes that file anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import griffe

from babelmix.batches import STRATEGIES
from babelmix.corpus import READERS

ROOT = Path(__file__).resolve().parents[1]
FILE = Path(__file__).with_name("public.txt")

MODULES = (
    "", "errors", "corpus", "corpus.images", "corpus.leaks", "encoders", "encoders.debias", "encoders.static",
    "encoders.uniter", "batches", "batches.strategies", "evaluation", "evaluation.calibration", "evaluation.chance",
    "evaluation.metrics", "evaluation.mteb", "evaluation.perturb", "training", "experiment", "search", "search.mteb",
    "search.service",
)  # fmt: skip
"""The modules that the documentation names. What is in others is not public."""


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


def described(name: str, found: griffe.Object | griffe.Alias) -> list[str]:
    """A name with what it takes; of a class its own public members too."""
    thing: Any = found.final_target if isinstance(found, griffe.Alias) else found
    if isinstance(thing, griffe.Module):  # a module that has the name of what it defines
        thing = thing.members[name]
    if isinstance(thing, griffe.Function):
        return [name + parameters(thing)]
    if not isinstance(thing, griffe.Class):
        return [name]
    made = thing.members.get("__init__")
    lines = [f"class {name}" + (parameters(made) if isinstance(made, griffe.Function) else "")]
    for member in sorted(thing.members):
        inner = thing.members[member]
        if (
            not member.startswith("_")
            and member != "model_config"
            and isinstance(inner, (griffe.Function, griffe.Attribute))
        ):
            lines.append(f"  .{member}" + (parameters(inner) if isinstance(inner, griffe.Function) else ""))
    return lines


def python_names(package: Any) -> list[str]:
    """The names of every public module: its `__all__`, or what it defines itself without an underscore before it."""
    lines = []
    for path in MODULES:
        module = package[path] if path else package
        exported = module.exports
        if exported is None:
            exported = [
                name
                for name, member in module.members.items()
                if not name.startswith("_") and isinstance(member, (griffe.Function, griffe.Class))
            ]
        lines += ["", f"# {'.'.join(filter(None, ('babelmix', path)))}"]
        for name in sorted(map(str, exported)):
            lines += described(name, module.members[name])
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


def settings(package: Any) -> list[str]:
    """The keys of an experiment's TOML file."""
    classes = package["experiment.config"].members
    lines = ["", "# an experiment's TOML file"]

    def walk(model: Any, path: str) -> None:
        for name, field in model.members.items():
            if not isinstance(field, griffe.Attribute) or name == "model_config":
                continue
            section = classes.get(str(field.annotation))
            if path + name == "training":
                section = package["training.settings.TrainingSettings"]
            if isinstance(section, griffe.Class):
                walk(section, f"{path}{name}.")
            else:
                lines.append(path + name)

    walk(classes["Experiment"], "")
    return lines


def surface() -> str:
    """Everything a caller may rely on, a line each."""
    package = griffe.load("babelmix", search_paths=[ROOT / "src"])
    recipes = (ROOT / "src" / "babelmix" / "experiment" / "recipes").glob("*.toml")
    words = ["", "# readers", *sorted(READERS), "", "# batch strategies", *sorted(STRATEGIES)]
    words += ["", "# bundled experiments", *sorted(file.stem for file in recipes)]
    return "\n".join([*python_names(package), *commands(), *settings(package), *words]).strip() + "\n"


if __name__ == "__main__":
    FILE.write_text(surface(), encoding="utf-8")
