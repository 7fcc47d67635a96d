"""Write the pages of the site as plain files: those of `docs`, and those that are made from something else.

    python docs/generate.py      # into build/docs; then any builder that reads mkdocs.yml, such as  mkdocs build --strict

The README, the changelog, the command line and the public modules become pages, and `docs/experiments.md` is written again from
the classes that check an experiment. Links between files of the repository become links between pages.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import griffe
from pydantic import BaseModel

import babelmix

ROOT = Path(__file__).resolve().parents[1]

COPIED = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}

MODULES = {
    "": ("",),
    "corpus": ("corpus", "corpus.images", "corpus.leaks"),
    "encoders": (
        "encoders",
        "encoders.kinds",
        "encoders.static",
        "encoders.debias",
        "encoders.removal",
        "encoders.uniter",
    ),
    "batches": ("batches", "batches.strategies"),
    "training": ("training",),
    "evaluation": (
        "evaluation",
        "evaluation.metrics",
        "evaluation.score_levels",
        "evaluation.chance",
        "evaluation.gates",
        "evaluation.perturb",
        "evaluation.mteb",
    ),
    "experiment": ("experiment",),
    "search": ("search", "search.service", "search.mteb_index"),
    "extend": ("extend",),
    "testing": ("testing",),
    "errors": ("errors",),
}
"""The public modules, a page a room."""


def pages() -> dict[str, str]:
    """The text of every page of the site, by its file name."""
    made = {file.name: file.read_text(encoding="utf-8") for file in sorted((ROOT / "docs").glob("*.md"))}
    made |= {page: (ROOT / source).read_text(encoding="utf-8") for page, source in COPIED.items()}
    made |= {_page_of(room): _room(modules) for room, modules in MODULES.items()}
    made |= {"cli.md": _command_line(), "experiments.md": experiments()}
    return {name: _for_the_site(name, text) for name, text in made.items()}


def _for_the_site(name: str, markdown: str) -> str:
    """Let links lead where the pages of the site are, and take comments away, which would hide what touches them."""
    links = {f"../{source}": page for page, source in COPIED.items()} | {"../SECURITY.md": "security.md"}
    if name in COPIED:
        links = {path.removeprefix("../"): target for path, target in links.items()} | {"docs/": ""}
    for path, target in links.items():
        markdown = markdown.replace(f"]({path}", f"]({target}")
    # Links are called by their files where they are read as files.
    markdown = re.sub(r"\[(?:docs/)?([a-z-]+)\.md\]\(", lambda found: f"[{_title(found[1])}](", markdown)
    markdown = re.sub(r"^<!--.*?-->$\n?", "\n", markdown, flags=re.MULTILINE)
    return _under_one_title(markdown)


def _title(name: str) -> str:
    first = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# ").partition(":")[0]


def _under_one_title(markdown: str) -> str:
    """Further titles of a document, and what is under them, a level down: the table of contents ends at a second title."""
    titles, in_code, lines = 0, False, []
    for line in markdown.split("\n"):
        in_code ^= line.lstrip().startswith("```")
        titles += not in_code and line.startswith("# ")
        lines.append(f"#{line}" if titles > 1 and not in_code and line.startswith("#") else line)
    return "\n".join(lines)


def _room(modules: tuple[str, ...]) -> str:
    """What the modules export, each name once."""
    package = _package()
    lines: list[str] = []
    seen: set[str] = set()
    for number, path in enumerate(modules):
        module: Any = package[path] if path else package
        names = [name for name in _exported(module) if name not in seen]
        seen |= set(names)
        # A module may have the name of the function that it defines.
        hidden = [name for name in names if isinstance(module.members[name], griffe.Module)]
        # Links go to the page of a room where there is one; so here, names of a room are not registered again.
        known = [] if path else [name for name in names if _home(module, name) in _in_rooms() and name not in hidden]
        lines += [f"{'##' if number else '#'} {_dotted(path)}", "", *_reference(path, number + 2 if number < 2 else 3)]
        lines += [f"      members: {sorted({*names} - {*hidden} - {*known})}", ""]
        if known:
            lines += [*_reference(path, 2), f"      members: {known}", "      skip_local_inventory: true", ""]
        for name in hidden:
            # The front door's functions are at home elsewhere.
            home = f"{path}.{name}" if path else getattr(babelmix, name).__module__.removeprefix("babelmix.")
            lines += [*_reference(f"{home}.{name}", 3 if number else 2), "      show_root_heading: true"]
            lines += ["      show_root_full_path: false", "      show_root_toc_entry: true", ""]
    return "\n".join(lines)


def _exported(module: Any) -> list[str]:
    """The public names of a module, in order; what it imports is not among them, unless it says so."""
    names = module.exports or [name for name, member in module.members.items() if not member.is_alias]
    return sorted(str(name) for name in names if not str(name).startswith("_"))


def _home(module: Any, name: str) -> str:
    """Where a name of a module is defined."""
    return module.members[name].canonical_path


@functools.cache
def _in_rooms() -> frozenset[str]:
    """Where the names on the pages of the rooms are defined."""
    package = _package()
    rooms = [package[path] for room, paths in MODULES.items() if room for path in paths]
    return frozenset(_home(module, name) for module in rooms for name in _exported(module))


def _dotted(path: str) -> str:
    return f"babelmix.{path}" if path else "babelmix"


def _page_of(room: str) -> str:
    return f"api-{room}.md" if room else "api.md"


def _reference(path: str, level: int) -> list[str]:
    return [f"::: {_dotted(path)}", "    options:", f"      heading_level: {level}"]


def _command_line() -> str:
    import typer
    from typer.cli import get_docs_for_click

    from babelmix.cli.app import app

    command: Any = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=command.context_class(command), name="babelmix")
    return text.replace("# `babelmix`\n", "# The command line\n", 1)


_EXPERIMENTS = """# Experiments

`babelmix compare FILE.toml` runs an experiment. `babelmix compare demo --print` prints a bundled one with every default, to begin
with. These are the keys, section by section. `python docs/generate.py` writes this page.
"""


def experiments() -> str:
    """The keys of an experiment's TOML file, from the classes that check it."""
    from babelmix.experiment.config import RESERVED, Experiment, meaning_of, section_of
    from babelmix.training.settings import TrainingSettings

    # The values that an experiment gets without its optional keys.
    given = Experiment(name="any", data={"corpus": "any"})
    lines = [_EXPERIMENTS]

    def walk(kind: type[BaseModel], values: BaseModel | None, path: str) -> None:
        rows, below = [], []
        for name, field in kind.model_fields.items():
            if kind is TrainingSettings and name in RESERVED:
                continue
            value = field.default if values is None else getattr(values, name)
            if section := section_of(field.annotation):
                below.append((section, value, f"{path}.{name}".lstrip(".")))
                continue
            default = "needed" if field.is_required() else "none" if value is None else f"`{_as_toml(value)}`"
            meaning = (field.description or "").replace("|", "\\|")
            rows.append(f"| `{name}` | {default} | {meaning} |")
        if path:
            lines.extend([f"## `[{path}]`", "", meaning_of(kind), ""])
        if rows:
            lines.extend(["| key | default | meaning |", "|---|---|---|", *rows, ""])
        for part in below:
            walk(*part)

    walk(Experiment, given, "")
    return "\n".join(lines).rstrip("\n") + "\n"


def _as_toml(value: Any) -> str:
    """A value as it is written in TOML, on one line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_as_toml(one)}' for key, one in value.items())} }}" if value else "{}"
    return json.dumps(value)


@functools.cache
def _package() -> Any:
    return griffe.load("babelmix", search_paths=[ROOT / "src"])


def main() -> None:
    """Write the keys of experiments, and the files of the site into the folder that `mkdocs.yml` names."""
    (ROOT / "docs" / "experiments.md").write_text(experiments(), encoding="utf-8")
    folder = ROOT / "build" / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("*.md", "*.py", "__pycache__"))
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
