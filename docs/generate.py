"""Write the pages of the site as plain files: those of `docs`, and those that are made from something else.

    python docs/generate.py      # into build/docs; then any builder that reads mkdocs.yml, such as  mkdocs build --strict

The README, the changelog, the command line, the keys of experiments and the public modules become pages. Links between files of
the repository become links between pages.
"""

from __future__ import annotations

import ast
import functools
import re
import shutil
from pathlib import Path
from typing import Any

import griffe

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
    made |= {"cli.md": _command_line(), "experiments.md": _experiments()}
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
        names = sorted(str(name) for name in module.exports or module.members if not str(name).startswith("_"))
        names = [name for name in names if name not in seen]
        seen |= set(names)
        # A module may have the name of the function that it defines.
        hidden = [name for name in names if isinstance(module.members[name], griffe.Module)]
        lines += [f"{'##' if number else '#'} {_dotted(path)}", "", *_reference(path, number + 2 if number < 2 else 3)]
        lines += [f"      members: {sorted(set(names) - set(hidden))}", ""]
        for name in hidden:
            # The front door's functions are at home elsewhere.
            home = f"{path}.{name}" if path else getattr(babelmix, name).__module__.removeprefix("babelmix.")
            lines += [*_reference(f"{home}.{name}", 3 if number else 2), "      show_root_heading: true"]
            lines += ["      show_root_full_path: false", "      show_root_toc_entry: true", ""]
    return "\n".join(lines)


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
with. These are the keys, section by section.

In an experiment `training.steps` is 200 and `training.batch_size` is 64 unless they are given: every strategy has the same.
"""


def _experiments() -> str:
    """The keys of an experiment's TOML file, from the classes that check it."""
    package = _package()
    modules = [package[name].members for name in ("experiment.config", "experiment.keys", "training.settings")]
    classes = {name: kind for members in modules for name, kind in members.items() if isinstance(kind, griffe.Class)}
    sections: dict[str, Any] = {}

    def walk(kind: Any, path: str) -> None:
        sections[path] = kind
        for name, field in kind.members.items():
            if isinstance(field, griffe.Attribute):
                annotation = str(field.annotation).removesuffix(" | None")
                section = (
                    package["training.settings.TrainingSettings"] if name == "training" else classes.get(annotation)
                )
                if isinstance(section, griffe.Class):
                    walk(section, f"{path}.{name}".lstrip("."))

    walk(classes["Experiment"], "")
    lines = [_EXPERIMENTS]
    for section, kind in sections.items():
        if section:
            lines += [f"## [{section}]", "", kind.docstring.value.partition("\n\n")[0], ""]
        lines += ["| key | default | meaning |", "|---|---|---|"]
        for name, field in kind.members.items():
            is_key = isinstance(field, griffe.Attribute) and "property" not in field.labels and name != "model_config"
            if is_key and f"{section}.{name}".lstrip(".") not in sections:
                default, meaning = _field(str(field.value))
                lines.append(f"| `{name}` | {f'`{default}`' if default else 'needed'} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def _field(source: str) -> tuple[str, str]:
    """Default and description as they stand in `Field(DEFAULT, description=...)`, or in a plain value."""
    value = ast.parse(source, mode="eval").body
    if not isinstance(value, ast.Call):
        return source, ""
    named = {word.arg: word.value for word in value.keywords}
    default = value.args[0] if value.args else named.get("default_factory")
    meaning = ast.literal_eval(named["description"]) if "description" in named else ""
    return ast.unparse(default) if default is not None else "", meaning.replace("|", "\\|")


@functools.cache
def _package() -> Any:
    return griffe.load("babelmix", search_paths=[ROOT / "src"])


def main() -> None:
    """Write the files of the site into the folder that `mkdocs.yml` names."""
    folder = ROOT / "build" / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("*.md", "*.py", "__pycache__"))
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
