"""`babelmix audit`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelmix.cli.options import (
    BackendOption,
    CorpusOption,
    JsonOption,
    LangsOption,
    PartOption,
    TrustOption,
    listed,
    print_json,
    read_corpus,
    said,
    say,
)

if TYPE_CHECKING:
    from babelmix.corpus import Corpus
    from babelmix.corpus.copies import Copies
    from babelmix.evaluation import Audit
    from babelmix.experiment import AuditComparison

NOISE = "perturbed.json"

BACK = "image-to-text"
"""The folder, beside an audit of captions to pictures, of the audit of pictures to captions."""


def audit(
    context: typer.Context,
    corpus: CorpusOption,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="An encoder: see `babelmix encoders`. Several are shown side by side, with tests. With --through none, or where "
            "the index's encoder is now.",
            metavar="MODEL...",
        ),
    ] = None,
    through: Annotated[
        str,
        typer.Option(
            help="Search this index for the corpus's queries under language policies, in place of comparing with every passage.",
            metavar="INDEX",
        ),
    ] = "",
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="With --through: a language policy, as in `babelmix search`; once for each. The others are tested against the "
            "first.  [default: any and balanced]",
            metavar="POLICY",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="With --through: answers of a search.", min=10, max=1000)] = 100,
    queries: Annotated[
        int, typer.Option(min=0, help="With --through: ask so many queries, drawn with a fixed seed; 0: all.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The audit's folder; of several models the comparison's, with an audit in a folder a model.  "
            "[default: runs/audit-MODEL-CORPUS, runs/audits-CORPUS]"
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Test the differences from a finished audit: its folder.", metavar="AUDIT"),
    ] = None,
    langs: LangsOption = "",
    part: PartOption = "all",
    metrics: Annotated[str, typer.Option(help="Ranking metrics, separated by commas.", metavar="mAP,R@1,...")] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="Texts a forward pass.")] = 32,
    max_seq_length: Annotated[int, typer.Option(min=0, help="Tokens a text; 0: the encoder's own limit.")] = 0,
    bf16: Annotated[bool, typer.Option(help="Encode in bfloat16 mixed precision: faster; see docs/audit.md.")] = False,
    backend: BackendOption = "",
    copies: Annotated[
        str,
        typer.Option(
            help="What passages count as that have the text of a right answer and that no judgement names: wrong, relevant, or "
            "excluded (neither).",
            metavar="WHAT",
        ),
    ] = "wrong",
    perturb: Annotated[
        str,
        typer.Option(
            help="Noise on the queries, and what it costs: typos, case, script, spacing, separated by commas.",
            metavar="KIND,...",
        ),
    ] = "",
    typo_rate: Annotated[
        float, typer.Option(min=0, max=1, help="With --perturb: share of letters with a typo.")
    ] = 0.05,
    perturb_seed: Annotated[int, typer.Option(help="With --perturb: the seed.")] = 0,
    mteb: Annotated[
        Path | None, typer.Option(help="Write the result in mteb's format too, into this folder.", metavar="FOLDER")
    ] = None,
    card: Annotated[
        bool, typer.Option(help="Put the result into the card of an encoder that babelmix trained.")
    ] = False,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Measure retrieval within a language, across languages and in a pool of all, and the bias between languages.

    Writes ranks.parquet, queries.parquet, metrics.json and report.html. An interrupted audit goes on where it was. Pictures
    are looked for with captions, and captions with pictures: the second is in the folder `image-to-text` of the first.

    With `--through` an index is searched for the corpus's queries (those of `--langs` and `--part`) under each language policy:
    how well, in which languages, and how long a search takes. Writes policies.json and report.html.
    """
    from babelmix._files import check_output_folder, distinct_slugs, place_apart, slug
    from babelmix.cli.tables import print_audit, print_audit_comparison, print_noise
    from babelmix.corpus.copies import check_copies
    from babelmix.errors import AuditError, ConfigError
    from babelmix.evaluation.metrics import DEFAULT, PICTURES, metric
    from babelmix.evaluation.mteb import write_mteb_results
    from babelmix.evaluation.mteb.names import language_code
    from babelmix.evaluation.perturb import perturb as make_noise
    from babelmix.training import add_audit

    models = models or []
    # A default that somebody writes down is refused where any other value would be.
    on_line = said(context)
    if through:
        from babelmix.cli.through import through_command

        unfit = {
            "--against": against, "--max-seq-length": max_seq_length, "--bf16": bf16, "--perturb": perturb, "--mteb": mteb,
            "--card": card, "--copies": "copies" in on_line, "--typo-rate": "typo_rate" in on_line,
            "--perturb-seed": "perturb_seed" in on_line,
        }  # fmt: skip
        for option, given in unfit.items():
            if given:
                raise ConfigError(f"{option} is for audits of an encoder; leave it out, or leave out --through")
        if len(models) > 1:
            raise ConfigError("--through: an index has one encoder; name where it is now, or none")
        through_command(
            through, corpus, model=next(iter(models), None), policies=policy or [], k=k, count=queries, out=out, langs=langs,
            part=part, metrics=metrics, batch_size=batch_size, backend=backend or None, trust_code=trust_code,
            json_output=json_output,
        )  # fmt: skip
        return
    if policy or queries or "k" in on_line:
        raise ConfigError("--policy, -k and --queries are for --through: say which index, as in  --through my-index")
    if not listed(perturb) and on_line & {"typo_rate", "perturb_seed"}:
        raise ConfigError("--typo-rate and --perturb-seed are for --perturb: say which noise, as in  --perturb typos")
    if "typo_rate" in on_line and "typos" not in listed(perturb):
        raise ConfigError("--typo-rate is of typos alone: name them, as in  --perturb typos,case")
    if not models:
        raise ConfigError("name an encoder to audit, or an index with --through; see  babelmix audit --help")
    backend = backend or "torch"
    counted = check_copies(copies)
    data = read_corpus(corpus, langs, part)
    if data.is_images("queries"):
        raise ConfigError(
            f"{data.name}: its queries are pictures; an audit goes both ways, so give it with captions as queries"
        )
    wanted = listed(metrics) or list(data.meta.get("metrics") or (PICTURES if data.has_images else DEFAULT))
    for name in wanted:
        metric(name)
    if bf16 and backend != "torch":
        raise ConfigError("--bf16 is for torch; leave it out, or leave out --backend")
    for kind in listed(perturb):
        make_noise("", kind)
    if perturb and data.has_images:
        raise ConfigError(f"--perturb: {data.name} has pictures; noise is for queries and passages that are texts")
    if mteb is not None and data.has_images:
        raise ConfigError(f"--mteb: {data.name} has pictures; mteb's format is for results on texts")
    for lang in data.langs if mteb is not None else ():
        try:
            language_code(lang)
        except AuditError as error:
            raise ConfigError(f"--mteb: {error}; leave it out with --langs, or leave out --mteb") from error
    for model in models:
        if card and not (Path(model) / "training.json").is_file():
            raise ConfigError(f"--card: {model} is not the folder of an encoder that babelmix train wrote")
    several = len(models) > 1
    together = (out or Path("runs") / f"audits-{slug(data.name)}") if several else None
    if len(set(models)) < len(models):
        raise ConfigError(f"{', '.join(models)}: a model is named twice")
    names = distinct_slugs(models)
    folders = [
        (out / names[model] if out and several else out)
        or place_apart(
            Path("runs") / f"audit-{names[model]}-{slug(data.name)}", partial(_holds_another, model, data.name)
        )
        for model in models
    ]
    if together is not None:
        check_output_folder(together, ["comparison.json", *(folder.name for folder in folders)])
    for folder in folders:
        check_output_folder(folder, ["metrics.json", "ranks.parquet"])
    order = _Order(
        data,
        wanted,
        batch_size,
        max_seq_length,
        bf16,
        backend,
        counted,
        listed(perturb),
        typo_rate,
        perturb_seed,
        trust_code,
    )
    saved = None if against is None else _saved(against, folders, order)
    done = {folder: _audits(model, folder, order) for model, folder in zip(models, folders, strict=True)}
    for model, folder in zip(models, folders, strict=True):
        if mteb is not None:
            write_mteb_results(done[folder][0], mteb)
        if card:
            add_audit(Path(model), done[folder][0])
    compared = _compared(done, together or folders[0], against, saved) if several or saved else []
    lost = {str(f): json.loads((f / NOISE).read_text(encoding="utf-8")) for f in folders if perturb}
    if json_output:
        facts = _facts(list(done.values()), compared)
        if lost:
            facts["perturbed"] = lost if several else lost[str(folders[0])]
        print_json(facts)
        return
    if not several:
        for place, one in zip(order.ways(folders[0]), done[folders[0]], strict=True):
            print_audit(one, place)
    for name, noise in lost.items():
        if several:
            say(name)
        print_noise(noise)
    for comparison, report in compared:
        print_audit_comparison(comparison, report)


def _holds_another(model: str, corpus: str, place: Path) -> bool:
    """Whether a folder holds the audit of another model or on another corpus."""
    from babelmix._files import recorded

    about = recorded(place / "metrics.json", "about") or {}
    return Path(about.get("encoder", model)) != Path(model) or about.get("corpus", corpus) != corpus


@dataclass(frozen=True)
class _Order:
    """What every model is audited on, and how."""

    data: Corpus
    metrics: list[str]
    batch_size: int
    max_seq_length: int
    bf16: bool
    backend: str
    copies: Copies
    noise: list[str]
    typo_rate: float
    noise_seed: int
    trust_code: bool

    def ways(self, folder: Path) -> dict[Path, Corpus]:
        """By folder, what is audited: captions to pictures and back."""
        return {folder: self.data} | ({folder / BACK: self.data.reversed()} if self.data.has_images else {})


def _audits(model: str, folder: Path, order: _Order) -> list[Audit]:
    """A model's finished audits, made now or before, and their reports: one, or of pictures one a way."""
    from babelmix._files import write_json
    from babelmix.encoders import load_encoder
    from babelmix.encoders.kinds import kind_of
    from babelmix.evaluation import audit as run_audit
    from babelmix.evaluation import audit_both_ways
    from babelmix.evaluation.perturb import perturb_loss
    from babelmix.evaluation.run import finished
    from babelmix.evaluation.systems import EncoderSystem
    from babelmix.experiment import write_audit_report

    encoder = load_encoder(
        model, max_seq_length=order.max_seq_length or None, backend=order.backend, trust_code=order.trust_code
    )
    ways = order.ways(folder)
    system = EncoderSystem(encoder, model, order.batch_size, bf16=order.bf16, details=True)
    before = [finished(place, system.facts(way, copies=order.copies), order.metrics) for place, way in ways.items()]
    found = [one for one in before if one is not None]
    if len(found) < len(ways):
        if order.data.has_images:
            found = list(audit_both_ways(system, order.data, metrics=order.metrics, copies=order.copies))
        else:
            found = [run_audit(system, order.data, metrics=order.metrics, copies=order.copies)]
    for place, one in zip(ways, found, strict=True):
        one.save(place)
        (place / NOISE).unlink(missing_ok=True)
        noise = None
        if order.noise:
            noise = perturb_loss(
                encoder, order.data, one, order.noise, seed=order.noise_seed, rate=order.typo_rate,
                batch_size=order.batch_size, store=kind_of(encoder).stored, bf16=order.bf16,
            )  # fmt: skip
            write_json(place / NOISE, noise)
        write_audit_report(one, place / "report.html", noise)
    return found


def _saved(against: Path, folders: list[Path], order: _Order) -> list[Audit]:
    """The audits to compare with, looked at before hours of work: of the same corpus, and not to be overwritten."""
    from babelmix.errors import AuditError, ConfigError
    from babelmix.evaluation import Audit
    from babelmix.evaluation.audit_facts import AuditFacts
    from babelmix.experiment.audits import check_same_corpus

    if against.resolve() in [folder.resolve() for folder in folders]:
        raise ConfigError(f"--against {against}: is where the new audit is to be; choose another place with --out")
    found = []
    for place, way in order.ways(against).items():
        if place != against and not (place / "ranks.parquet").is_file():
            raise AuditError(f"{place}: is not a finished audit; run  babelmix audit  again")
        one = Audit.load(place, order.metrics)
        copies = None if one.table.about.copies is None else {"count_as": order.copies}
        this = AuditFacts(corpus=way.name, fingerprint=way.fingerprint(), copies=copies)
        check_same_corpus(str(place), one.table.about, "this", this)
        found.append(one)
    return found


def _compared(
    done: dict[Path, list[Audit]], folder: Path, against: Path | None, saved: list[Audit] | None
) -> list[tuple[AuditComparison, Path]]:
    """The comparisons, one a way, each with the report that was written."""
    from babelmix._files import write_json
    from babelmix.experiment import compare_loaded, ranked, write_audits_report
    from babelmix.experiment.audits import names_of

    result = []
    everything = done if saved is None or against is None else done | {against: saved}
    for number in range(len(next(iter(done.values())))):
        audits = [found[number] for found in everything.values()]
        names = names_of(audits, list(everything))
        named = dict(zip(names, audits, strict=True))
        comparison = compare_loaded(ranked(named), base=names[-1] if saved else None)
        place = folder / BACK if number else folder
        report = place / ("report.html" if len(done) > 1 else "comparison.html")
        write_json(place / "comparison.json", comparison.as_json())
        write_audits_report(comparison, report)
        result.append((comparison, report))
    return result


def _facts(found: list[list[Audit]], compared: list[tuple[AuditComparison, Path]]) -> dict[str, Any]:
    """What `--json` prints: an audit with its comparison, or of several models the comparison."""
    if len(found) > 1:
        facts = compared[0][0].as_json()
        return facts | ({"image to text": compared[1][0].as_json()} if len(compared) > 1 else {})
    summaries = [one.summary() for one in found[0]]
    for summary, (comparison, _) in zip(summaries, compared, strict=False):
        summary["comparison"] = comparison.as_json()
    return summaries[0] | ({"image to text": summaries[1]} if len(summaries) > 1 else {})
