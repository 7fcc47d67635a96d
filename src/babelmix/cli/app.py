"""The commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from babelmix.cli.auditing import audit
from babelmix.cli.debiasing import debias
from babelmix.cli.mining import mine
from babelmix.cli.options import JsonOption, LangsOption, PartOption, TrustOption, listed, print_json, read_corpus, say
from babelmix.cli.searching import index, search
from babelmix.cli.serving import serve
from babelmix.cli.switching import codeswitch
from babelmix.cli.training import train
from babelmix.cli.words import Command

app = typer.Typer(
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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
) -> None:
    del version
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command(
    epilog="Examples:\n\n"
    "`babelmix audit e5-small-offline -c xquad-r=path/to/xquad-r`\n\n"
    "`babelmix audit my-model -c my.csv --part test --out before`\n\n"
    "`babelmix audit my-model e5-small-offline static-e5 -c my.csv`\n\n"
    "`babelmix audit my-model -c my.csv --against before`\n\n"
    "`babelmix audit -c my.csv --through my-index --policy any --policy balanced`"
)(audit)


app.command(
    epilog="Examples:\n\n"
    "`babelmix train -c my.csv --strategy hybrid --out my-model`\n\n"
    "`babelmix train -c comfyui-docs --part train --model static-e5 --strategy 'hybrid(0.25)' --steps 300`\n\n"
    "`torchrun --nproc-per-node 4 -m babelmix train -c my.csv --batch-size 256 --bf16`"
)(train)


@app.command(
    epilog="Examples:\n\n"
    "`babelmix compare demo`\n\n"
    "`babelmix compare my-experiment.toml --out runs/mine`\n\n"
    "`babelmix compare demo --print > my-experiment.toml`\n\n"
    "`babelmix compare before after --tests multi/mAP,bias/rank\\ distance`"
)
def compare(
    what: Annotated[
        list[str],
        typer.Argument(
            help="A TOML file, a bundled experiment (demo, libreoffice-scratch, e5-libreoffice, xlmr-hybrid and others: a "
            "wrong name lists them), or the folders of two or more audits.",
            metavar="EXPERIMENT | AUDIT AUDIT...",
        ),
    ],
    corpus: Annotated[
        str, typer.Option("--corpus", "-c", help="An experiment's corpus, in place of the one it names.")
    ] = "",
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="A further corpus to test on, in place of those the experiment names.", metavar="CORPUS"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The comparison's folder.  [default: runs/NAME, runs/compare-AUDIT-AUDIT]")
    ] = None,
    tests: Annotated[
        str, typer.Option(help="Of audits: measures to test, separated by commas.", metavar="multi/mAP,...")
    ] = "",
    against: Annotated[
        str, typer.Option(help="Of audits: test this encoder against every other; none: every two.", metavar="NAME")
    ] = "",
    show: Annotated[bool, typer.Option("--print", help="Print the experiment with every default, and stop.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Run an experiment over batch strategies and seeds, or compare audits that are there; test the differences.

    An experiment trains with each strategy, audits, tests and writes a report. Finished runs are kept and not run again:
    after an interruption the same command does what is left.
    """
    from babelmix.errors import ConfigError

    folders = [Path(name) for name in what]
    if len(folders) > 1 or (folders[0] / "ranks.parquet").is_file():
        if corpus or benchmark or show:
            raise ConfigError(
                "--corpus, --benchmark and --print are for experiments; audits keep the corpus they were made on"
            )
        _compare_audits(folders, tests, against, out, json_output)
        return
    if tests or against:
        raise ConfigError("--tests and --against are for audits; an experiment names its own under [compare]")
    _run_experiment(what[0], corpus, benchmark or [], out, show, json_output)


def _compare_audits(folders: list[Path], tests: str, against: str, out: Path | None, json_output: bool) -> None:
    from babelmix._files import check_output_folder, place_apart, recorded, slug, write_json
    from babelmix.cli.tables import print_audit_comparison
    from babelmix.experiment import compare_audits, write_audits_report

    usual = Path("runs") / f"compare-{'-'.join(slug(path.name) for path in folders)}"
    if out is not None:
        check_output_folder(out, ["comparison.json"])
    found = compare_audits(folders, tests=listed(tests), against=against or None)
    folder = out or place_apart(
        usual, lambda place: set(recorded(place / "comparison.json", "audits") or found.audits) != set(found.audits)
    )
    check_output_folder(folder, ["comparison.json"])
    write_json(folder / "comparison.json", found.as_json())
    write_audits_report(found, folder / "report.html")
    if json_output:
        print_json(found.as_json())
    else:
        print_audit_comparison(found, folder / "report.html")


def _run_experiment(
    name: str, corpus: str, benchmarks: list[str], out: Path | None, show: bool, json_output: bool
) -> None:
    from babelmix._files import check_output_folder
    from babelmix._processes import is_main
    from babelmix._progress import console
    from babelmix._terminal import toml_text
    from babelmix.cli.tables import print_comparison
    from babelmix.errors import ConfigError
    from babelmix.experiment import load_experiment, run_experiment, write_comparison_report
    from babelmix.experiment.bundled import bundled, names
    from babelmix.experiment.results import results_as_json

    file = bundled(name) or Path(name)
    if not file.exists():
        raise ConfigError(
            f"{name}: there is no such file, and no such bundled experiment; those are {', '.join(names())}"
        )
    plan = load_experiment(file)
    given = ({"corpus": corpus} if corpus else {}) | ({"benchmarks": benchmarks} if benchmarks else {})
    if given:
        plan = plan.model_copy(update={"data": plan.data.model_copy(update=given)})
    if show:
        say(toml_text(plan.to_toml(), sys.stdout.encoding))
        return
    folder = out or Path("runs") / plan.name
    check_output_folder(folder, ["config.toml"])
    results = run_experiment(plan, folder, lambda line: console.print(line, highlight=False))
    if not is_main():
        return
    write_comparison_report(results, folder / "report.html")
    if json_output:
        print_json(results_as_json(results))
    else:
        print_comparison(results, folder)


@app.command(
    epilog="Examples:\n\n"
    "`babelmix data`\n\n"
    "`babelmix data my.csv`\n\n"
    "`babelmix data libreoffice-help=blocks.parquet --langs en,de,ja --to corpora/help`"
)
def data(
    corpus: Annotated[str, typer.Argument(help="A corpus to check and describe; none: list the readers.")] = "",
    langs: LangsOption = "",
    part: PartOption = "all",
    to: Annotated[
        Path | None,
        typer.Option(help="Save the corpus as a folder of Parquet files; of Arrow files if it has pictures."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """List the readers, or check a corpus and show what is in it."""
    from babelmix._files import check_output_folder
    from babelmix.cli.listing import print_corpus, print_readers
    from babelmix.corpus import READERS
    from babelmix.corpus.nfc import count_decomposed
    from babelmix.corpus.storage import MARKER
    from babelmix.errors import ConfigError

    if not corpus:
        if langs or part != "all" or to is not None:
            raise ConfigError("--langs, --part and --to are of a corpus; say which, as in  babelmix data comfyui-docs")
        if json_output:
            print_json({name: reader.summary for name, reader in READERS.items()})
        else:
            print_readers()
        return
    if to is not None:
        check_output_folder(to, [MARKER])
    found = read_corpus(corpus, langs, part)
    if to is not None:
        # Files of Arrow are read where they lie, and pictures do not fit the memory.
        found.save(to, format="arrow" if found.has_images else "parquet")
    if json_output:
        facts: dict[str, Any] = {
            "name": found.name,
            "fingerprint": found.fingerprint(),
            "langs": {row["lang"]: row for row in found.counts().to_dicts()},
            "qrels": found.qrels.num_rows,
            "decomposed": sum(count_decomposed(side["text"]) for side in (found.queries, found.passages)),
            "meta": dict(found.meta),
        }
        print_json(facts)
    else:
        print_corpus(found, to)


@app.command(epilog="Examples:\n\n`babelmix encoders`\n\n`babelmix encoders e5-small-offline`")
def encoders(
    model: Annotated[str, typer.Argument(help="An encoder to load and describe; none: list the known ones.")] = "",
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """List the known encoders, or load one and describe it."""
    from babelmix.cli.listing import print_encoder, print_encoders
    from babelmix.encoders.known import KNOWN

    if not model:
        if json_output:
            print_json({name: known.summary for name, known in KNOWN.items()})
        else:
            print_encoders()
        return
    from babelmix.encoders import fingerprint, load_encoder
    from babelmix.encoders.limits import length_limit
    from babelmix.encoders.origin import origin_of

    encoder = load_encoder(model, trust_code=trust_code)
    facts = {
        "name": model,
        "dimension": encoder.get_embedding_dimension(),
        "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "max_seq_length": length_limit(encoder),
        "prompts": dict(encoder.prompts),
        "prompts_from": origin.prompts if (origin := origin_of(encoder)) is not None else "",
        "similarity": str(encoder.similarity_fn_name),
        "fingerprint": fingerprint(encoder),
    }
    if json_output:
        print_json(facts)
    else:
        print_encoder(facts)


app.command(
    epilog="Examples:\n\n"
    "`babelmix index documents.jsonl --to my-index --model e5-small-offline`\n\n"
    "`babelmix index comfyui-docs --to docs-index --model my-model --langs en,de,ja`\n\n"
    "`babelmix index documents.jsonl --to my-index --prune`"
)(index)


app.command(
    epilog="Examples:\n\n"
    "`babelmix search 'Wie speichere ich ein Bild?' --in my-index --policy balanced`\n\n"
    "`babelmix search 'save an image' --in my-index --policy prefer=de --mode hybrid --once`\n\n"
    "`babelmix search --image photo.jpg --in my-index --where year=2024,2025`"
)(search)


app.command(
    epilog="Examples:\n\n`babelmix serve my-index`\n\n`babelmix serve my-index --host 0.0.0.0 --keys keys.txt`"
)(serve)


app.command(
    epilog="Examples:\n\n"
    "`babelmix debias e5-small-offline --on comfyui-docs --out my-encoder`\n\n"
    "`babelmix debias my-encoder --on texts.jsonl --method means --out another`"
)(debias)


app.command(
    epilog="Examples:\n\n"
    "`babelmix codeswitch -c my-english.csv --lexicon en:de=en-de.txt --out switched`\n\n"
    "`babelmix codeswitch -c my-english.csv --lexicon en:ar=/usr/share/dictd/freedict-eng-ara.index --out switched`"
)(codeswitch)


app.command(
    epilog="Examples:\n\n`babelmix mine e5-small-offline -c my.csv --part train --out mined`\n\n"
    "`babelmix mine my-encoder -c my.csv --number 5 --other-share 0 --out mined`"
)(mine)


for _command in app.registered_commands:
    _command.cls = Command
