"""The commands, and the examples that are printed below their help."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from babelmix.cli.auditing import audit
from babelmix.cli.comparing import compare
from babelmix.cli.debiasing import debias
from babelmix.cli.describing import data, encoders, make_queries
from babelmix.cli.doctoring import doctor
from babelmix.cli.exporting import export
from babelmix.cli.frontiers import frontier
from babelmix.cli.mining import mine
from babelmix.cli.searching import index, search
from babelmix.cli.serving import serve
from babelmix.cli.switching import codeswitch
from babelmix.cli.training import train
from babelmix.cli.words import Command

COMMANDS: dict[Callable[..., None], tuple[str, ...]] = {
    audit: (
        "babelmix audit e5-small-offline -c xquad-r=path/to/xquad-r",
        "babelmix audit my-model -c my.csv --part test --out before",
        "babelmix audit my-model e5-small-offline static-e5 -c my.csv",
        "babelmix audit my-model -c my.csv --against before",
        "babelmix audit my-model -c my.csv --against before --fail-if 'own-language share@10 > before + 0.02'",
        "babelmix audit -c my.csv --through my-index --policy any --policy balanced",
        "babelmix audit -c my.csv --run bm25.trec --run reranked=results.jsonl",
        "babelmix audit -c my.csv --through my_adapter.py:search",
    ),
    train: (
        "babelmix train -c my.csv --strategy hybrid --out my-model",
        "babelmix train -c comfyui-docs --part train --model static-e5 --strategy 'hybrid(0.25)' --steps 300",
        "torchrun --nproc-per-node 4 -m babelmix train -c my.csv --batch-size 256 --bf16",
    ),
    compare: (
        "babelmix compare demo",
        "babelmix compare my-experiment.toml --out runs/mine",
        "babelmix compare demo --print > my-experiment.toml",
        "babelmix compare before after --tests multi/mAP,bias/rank\\ distance",
        "babelmix compare before after --against before --fail-if 'multi/mAP < before - 0.02'",
    ),
    data: (
        "babelmix data",
        "babelmix data my.csv",
        "babelmix data libreoffice-help=blocks.parquet --langs en,de,ja --to corpora/help",
    ),
    make_queries: (
        "babelmix data make-queries articles.jsonl --out asked",
        "babelmix data make-queries articles.jsonl --queries-from titles --out asked",
        "babelmix data make-queries articles.jsonl --queries-from clicks.csv --min-clicks 3 --out asked",
    ),
    doctor: (
        "babelmix doctor -c my.csv",
        "babelmix doctor my-model -c my.csv --strict",
        "babelmix doctor --through qdrant://localhost:6333/articles",
    ),
    encoders: ("babelmix encoders", "babelmix encoders e5-small-offline"),
    export: (
        "babelmix encoders export e5-small-offline --to e5-export",
        "babelmix encoders export my-model --to my-export --backend onnx-fp32",
    ),
    index: (
        "babelmix index documents.jsonl --to my-index --model e5-small-offline",
        "babelmix index comfyui-docs --to docs-index --model my-model --langs en,de,ja",
        "babelmix index documents.jsonl --to my-index --prune",
    ),
    search: (
        "babelmix search 'Wie speichere ich ein Bild?' --in my-index --policy balanced",
        "babelmix search 'save an image' --in my-index --policy prefer=de --mode hybrid --once",
        "babelmix search --image photo.jpg --in my-index --where year=2024,2025",
    ),
    serve: ("babelmix serve my-index", "babelmix serve my-index --host 0.0.0.0 --keys keys.txt"),
    debias: (
        "babelmix debias e5-small-offline --on comfyui-docs --out my-encoder",
        "babelmix debias my-encoder --on texts.jsonl --method means --out another",
    ),
    frontier: (
        "babelmix frontier e5-small-offline -c my.csv --keep-same-language 0.98",
        "babelmix frontier --vectors queries.npy passages.npy -c my.csv --removal offsets.safetensors --best multi/mAP",
        "babelmix frontier e5-small-offline -c my.csv --policy any --policy balanced=0,0.5,1 --mix log.csv",
    ),
    codeswitch: (
        "babelmix codeswitch -c my-english.csv --lexicon en:de=en-de.txt --out switched",
        "babelmix codeswitch -c my-english.csv --lexicon en:ar=/usr/share/dictd/freedict-eng-ara.index --out switched",
    ),
    mine: (
        "babelmix mine e5-small-offline -c my.csv --part train --out mined",
        "babelmix mine my-encoder -c my.csv --number 5 --other-share 0 --out mined",
    ),
}
"""The commands in the order of `babelmix --help`, each with examples."""


class _Commands(TyperGroup):
    """The commands. Some have names of two words, as `data make-queries`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command of the first word, or of the first two."""
        both = " ".join(args[:2])
        if len(args) > 1 and both in self.commands:
            return both, self.commands[both], args[2:]
        return super().resolve_command(ctx, args)


_SETTINGS: dict[str, Any] = {
    "rich_markup_mode": "markdown",
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class _App(typer.Typer):
    """All commands. The command line runs the one that it names without making the others: that takes half of the time."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the command of `sys.argv`, or of the arguments as Typer does."""
        words = sys.argv[1:]
        named = {info.name or info.callback.__name__: info for info in self.registered_commands if info.callback}
        name = next((name for name in (" ".join(words[:2]), *words[:1]) if name in named), None)
        if args or name is None or "_BABELMIX_COMPLETE" in os.environ:
            return super().__call__(*args, **options)
        alone = typer.Typer(add_completion=False, **_SETTINGS)
        alone.registered_commands = [named[name]]
        return alone(words[len(name.split()) :], **{**options, "prog_name": f"babelmix {name}"})


app = _App(
    cls=_Commands,
    **_SETTINGS,
    help="Measure and mend language bias in multilingual retrieval encoders.",
)


def _version(value: bool) -> None:
    if value:
        import importlib.metadata

        typer.echo(f"babelmix {importlib.metadata.version('babelmix')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            help="Run this Python file, or import this module: it registers parts of your own; see CONTRIBUTING.md. May be given "
            "several times. It stands before the command.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    del version
    if plugin:
        from babelmix.extend import load_plugin

        for one in plugin:
            load_plugin(one)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


_NAMES: dict[Callable[..., None], str] = {make_queries: "data make-queries", export: "encoders export"}
"""The names of commands that are not those of their functions."""


def _add(command: Callable[..., Any], examples: tuple[str, ...]) -> None:
    app.command(
        _NAMES.get(command), cls=Command, epilog="\n\n".join(["Examples:", *(f"`{example}`" for example in examples)])
    )(command)


for _command, _examples in COMMANDS.items():
    _add(_command, _examples)
