"""Measure how encoders retrieve, and their language bias: `babelmix audit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, Unpack, cast, overload

from babelmix.api._audit_arguments import check_texts_only, metrics_for, perturbations
from babelmix.api._folders import Out
from babelmix.api._loading import check_unfit, judged_by, loaded, opened, with_queries
from babelmix.api._recall import Asked
from babelmix.api._variants import Variant, variants
from babelmix.api.audit_reports import BACK, AuditReport, AuditReports, audit_folders, save_audit, save_report
from babelmix.api.gating import Gate
from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies, check_copies
from babelmix.errors import ArgumentError, AuditError, ConfigError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from babelmix.api._audit_options import AuditOptions, ListOptions
    from babelmix.api.list_reports import ListReport
    from babelmix.evaluation import Audit
    from babelmix.evaluation.gates import Judged
    from babelmix.evaluation.systems import ExactSystem, ListSystem
    from babelmix.experiment import AuditComparison

    Model = str | Path | SentenceTransformer | ExactSystem


@overload
def audit(
    models: ListSystem | Sequence[ListSystem] | Mapping[str, ListSystem],
    corpus: str | Path | Corpus,
    **options: Unpack[ListOptions],
) -> ListReport: ...


@overload
def audit(models: Model, corpus: str | Path | Corpus, **options: Unpack[AuditOptions]) -> AuditReport: ...


@overload
def audit(
    models: Sequence[Model] | Mapping[str, Model], corpus: str | Path | Corpus, **options: Unpack[AuditOptions]
) -> AuditReport | AuditReports: ...


def audit(
    models: Model
    | Sequence[Model]
    | Mapping[str, Model]
    | ListSystem
    | Sequence[ListSystem]
    | Mapping[str, ListSystem],
    corpus: str | Path | Corpus,
    *,
    out: Out = None,
    against: str | Path | None = None,
    langs: str | Sequence[str] | None = None,
    part: str = "all",
    metrics: str | Sequence[str] | None = None,
    batch_size: int = 32,
    max_seq_length: int | None = None,
    bf16: bool = False,
    backend: str = "torch",
    copies: str | None = None,
    perturb: str | Sequence[str] | None = None,
    typo_rate: float | None = None,
    perturb_seed: int | None = None,
    mteb: str | Path | None = None,
    card: bool = False,
    trust_code: bool = False,
    dimensions: int | Sequence[int] | None = None,
    precision: str | Sequence[str] | None = None,
    fail_if: str | Sequence[str] | None = None,
    significant: bool = False,
    junit: str | Path | None = None,
    summary: str | Path | None = None,
    depth: int | None = None,
    queries: int | None = None,
    qrels: str | Path | None = None,
    queries_from: str | Path | None = None,
) -> AuditReport | AuditReports | ListReport:
    """Measure how an encoder retrieves within a language, across languages and in a pool of all, and its language bias.

    If the corpus has pictures, both directions are audited: captions as queries for pictures, and pictures as queries for
    captions.

    Args:
        models: an encoder: a name or a folder, see `babelmix.load_model`, or a `SentenceTransformer`. Or vectors from elsewhere,
            `babelmix.Vectors`. Or another system that scores every passage, see `babelmix.evaluation.systems.ExactSystem`. Or
            several, as a list or as a dictionary by name; they are compared with tests. A list of one is the same as the one. Or
            ranked lists: `babelmix.Run`, `babelmix.Search`, `babelmix.Service`, or several of these; see docs/ranked-lists.md.
        corpus: see `babelmix.load_corpus`.
        out: save the audit into this folder. With several encoders, each gets a sub-folder. An audit that is already finished in
            the folder is loaded instead of repeated. None: nothing is saved; see `AuditReport.save`.
        against: the folder of a finished audit of the same corpus; the differences from it are tested.
        langs: see `babelmix.load_corpus`.
        part: see `babelmix.load_corpus`.
        metrics: ranking metrics, such as `mAP` or `nDCG@10`; None: the metrics that the corpus names, or else the default ones.
        batch_size: texts in one forward pass.
        max_seq_length: tokens to read of each text; None: the encoder's own limit.
        bf16: encode in bfloat16 mixed precision, with torch.
        backend: the engine for an encoder that is loaded by name: `torch`, `openvino`, `onnx` or `auto`.
        copies: how copies of right answers are counted: as `wrong` (also None), `relevant` or `excluded`. A copy has the content
            of a right answer, but is not judged relevant.
        perturb: also measure how much mAP is lost by noise on the queries, of these kinds: `typos`, `case`, `script`, `spacing`.
        typo_rate: with `typos`: the share of letters with a typo, from 0 to 1; None: 0.05.
        perturb_seed: with `perturb`: the seed; None: 0.
        mteb: also write the result into this folder, in mteb's format.
        card: also write the result into the model card of the encoder, which babelmix must have trained.
        trust_code: run code that a model contains or names; see `babelmix.load_model`.
        dimensions: audit each model with so many first dimensions of its embeddings: one number or several, which are compared.
        precision: audit each model with embeddings made coarser: one or several of `float32` (as they are), `float16`,
            `bfloat16`, `int8` and `binary`, which are compared; see `babelmix.evaluation.coarser`.
        fail_if: rules that say when the audit fails, such as `own-language share@10 > 0.4` or `multi/mAP < before - 0.02`, where
            `before` is the audit `against`; see docs/ci.md. The result is `gate` of the report.
        significant: with `fail_if`: a rule is broken only if the 95 % interval or the paired test says so.
        junit: with `fail_if`: also write the result into this file, as JUnit XML.
        summary: with `fail_if`: also write the result into this file, as Markdown; None: `$GITHUB_STEP_SUMMARY`, if it is set.
        depth: for ranked lists: the number of answers to judge; see `babelmix.api.list_auditing.audit_ranked`.
        queries: for ranked lists: the number of queries, drawn with a fixed seed; None: all.
        qrels: a file of qrels, in the form of TREC or BEIR, that replace those of the corpus.
        queries_from: the queries of a collection that has none: parts of its texts, or a log; see `babelmix.load_corpus`.

    Returns:
        An `AuditReport`; for several encoders an `AuditReports`; for ranked lists a `ListReport`.

    Raises:
        ConfigError: an argument is wrong, or two arguments cannot be combined.
        CorpusError: the corpus cannot be read.
        EncoderError: an encoder cannot be loaded.
        AuditError: an encoder's embeddings are not finite, or `against` is of another corpus.

    Examples:
        >>> report = audit("intfloat/multilingual-e5-small", "my.csv")  # doctest: +SKIP
        >>> print(report)  # doctest: +SKIP
        >>> report.save("before")  # doctest: +SKIP

    """
    from babelmix.api.list_auditing import audit_ranked, lists_among

    if queries_from is not None:
        corpus = with_queries(corpus, queries_from, langs)
    if (lists := lists_among(models)) is not None:
        check_unfit(
            "is for encoders, and ranked lists come from none; leave it out", max_seq_length=max_seq_length, bf16=bf16,
            perturb=perturb, typo_rate=typo_rate, perturb_seed=perturb_seed, mteb=mteb, card=card, dimensions=dimensions,
            precision=precision,
        )  # fmt: skip
        return audit_ranked(
            lists, corpus, out=out, against=against, langs=langs, part=part, metrics=metrics, depth=depth, queries=queries,
            copies=copies, qrels=qrels, fail_if=fail_if, significant=significant, junit=junit, summary=summary,
        )  # fmt: skip
    check_unfit("is for ranked lists and audits of an index; leave it out", depth=depth, queries=queries)
    asked = None
    if (
        not (against or perturb or mteb or card or trust_code or dimensions or precision or fail_if or qrels)
        and out is not None
    ):
        asked = _asked(
            cast("Model", models), corpus, langs=langs, part=part, metrics=metrics, max_seq_length=max_seq_length, bf16=bf16,
            backend=backend, copies=copies, others=[typo_rate, perturb_seed, junit, summary, significant or None],
        )  # fmt: skip
        if asked is not None and (recalled := asked.recall(out)) is not None:
            return AuditReport(asked.model, recalled[1], folder=recalled[0])
    # After the recall: this imports sentence-transformers, which takes seconds.
    from babelmix.evaluation.perturb import TYPOS

    named = _named(cast("Model | Sequence[Model] | Mapping[str, Model]", models))
    if not named:
        raise ConfigError("name an encoder to audit; see  babelmix encoders")
    gate = Gate.of(fail_if, significant, junit, summary)
    kinds = perturbations(perturb, typo_rate, perturb_seed)
    counted = check_copies(copies or "wrong")
    data = opened(judged_by(corpus, qrels), langs=langs, part=part)
    wanted = metrics_for(data, metrics)
    wanted = wanted if gate is None else gate.metrics(wanted)
    if bf16 and backend != "torch":
        raise ArgumentError("bf16", "is for torch; leave it out, or leave out the backend")
    check_texts_only(data, kinds, mteb)
    for name in named:
        if card and not (Path(name) / "training.json").is_file():
            raise ArgumentError("card", f"{name} is not the folder of an encoder that babelmix train wrote")
    for name in (name for name, model in named.items() if _is_system(model)):
        why = f"is for encoders, and {name} is none; leave it out"
        check_unfit(why, max_seq_length=max_seq_length, bf16=bf16, perturb=perturb)
    audited = variants(named, dimensions, precision)
    _check_variants(audited, {"perturb": perturb, "mteb": mteb, "card": card})
    several = len(audited) > 1
    whole, folders = audit_folders(list(audited), data.name, out)
    order = _Order(
        data, wanted, batch_size, max_seq_length, bf16, backend, counted, kinds, TYPOS if typo_rate is None else typo_rate,
        perturb_seed or 0, trust_code,
    )  # fmt: skip
    if gate is not None:
        gate.check_corpora(list(order.ways.values()), before=against is not None)
    saved = None if against is None else _saved(Path(against), folders, order)
    if gate is not None:
        gate.check_saved(_judged(saved))
    reports = {
        name: _report(name, one, folder, order) for (name, one), folder in zip(audited.items(), folders, strict=True)
    }
    for name, report in reports.items():
        if mteb is not None:
            from babelmix.evaluation.mteb import write_mteb_results

            write_mteb_results(report.audit, Path(mteb))
        if card:
            from babelmix.training import add_audit

            add_audit(Path(name), report.audit)
    compared = _compared(list(reports.values()), None if against is None else Path(against), saved)
    if not several:
        report = replace(next(iter(reports.values())), comparisons=compared)
        report._save_comparisons()
        if asked is not None and report.folder is not None:
            asked.remember(report.folder, data, wanted)
        return report if gate is None else replace(report, gate=gate.result(report, _judged(saved), data.name))
    result = AuditReports(reports, compared, whole)
    result._save_comparisons()
    return result if gate is None else replace(result, gate=gate.result(result, _judged(saved), data.name))


def _asked(
    models: Model | Sequence[Model] | Mapping[str, Model], corpus: str | Path | Corpus, **given: Any
) -> Asked | None:
    """What the audit of one encoder by its name is made from; None if it is another one, or an argument may be refused."""
    listed = list(models) if isinstance(models, (list, tuple)) else [models]
    if len(listed) != 1 or any(one is not None for one in given.pop("others")):
        return None
    plain = all(isinstance(value, (str, int, bool, list, tuple, type(None))) for value in given.values())
    return Asked.of(listed[0], corpus, given) if plain else None


@dataclass(frozen=True)
class _Order:
    """The corpus and the settings with which every model is audited."""

    data: Corpus
    metrics: list[str]
    batch_size: int
    max_seq_length: int | None
    bf16: bool
    backend: str
    copies: Copies
    perturb: list[str]
    typo_rate: float
    perturb_seed: int
    trust_code: bool

    _encoders: dict[str, SentenceTransformer] = field(default_factory=dict)

    def encoder(self, model: str | Path | SentenceTransformer) -> SentenceTransformer:
        """The encoder of a name or a folder; the last one is kept for its next variant."""
        if not isinstance(model, (str, Path)):
            return model
        if str(model) not in self._encoders:
            self._encoders.clear()
            self._encoders[str(model)], _ = loaded(
                model, max_seq_length=self.max_seq_length, backend=self.backend, trust_code=self.trust_code
            )
        return self._encoders[str(model)]

    @property
    def ways(self) -> dict[str, Corpus]:
        """The corpora by sub-folder: the corpus itself and, if it has pictures, its reverse with pictures as queries."""
        return {"": self.data} | ({BACK: self.data.reversed()} if self.data.has_images else {})


def _named(models: Model | Sequence[Model] | Mapping[str, Model]) -> dict[str, Model]:
    """The models by their names in reports."""
    from babelmix.encoders.origin import named

    if isinstance(models, Mapping):
        return dict(models)
    listed = list(models) if isinstance(models, (list, tuple)) else [cast("Model", models)]
    for model in listed:
        if not (isinstance(model, (str, Path)) or _is_system(model) or hasattr(model, "encode")):
            raise ConfigError(
                f"{model!r} is no encoder; give a name, a folder, a SentenceTransformer, or vectors or lists"
            )
    names = [
        str(model)
        if isinstance(model, (str, Path))
        else model.name
        if _is_system(model)
        else named(cast("SentenceTransformer", model))
        for model in listed
    ]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"{', '.join(names)}: two models have one name; give each once, or name them: {{name: model}}"
        )
    return dict(zip(names, listed, strict=True))


def _is_system(model: Model) -> TypeGuard[ExactSystem]:
    """Whether it is a system, not an encoder."""
    return hasattr(model, "facts") and hasattr(model, "rank")


def _check_variants(audited: Mapping[str, Variant[Model]], unfit: Mapping[str, object]) -> None:
    """Raise if an argument is given that is for whole encoders, or a model has no embeddings to cut."""
    for name, (model, dimensions, _), is_cut in ((name, one, one.is_cut) for name, one in audited.items()):
        asked = "precision" if dimensions is None else "dimensions"
        for argument, given in unfit.items():
            if is_cut and given:
                raise ArgumentError(argument, f"is for an encoder as it is; leave it out, or leave out {asked}")
        if is_cut and _is_system(model) and not hasattr(model, "cut"):
            raise ArgumentError(asked, f"is for encoders and vectors, and {name} is neither; leave it out")


def _report(name: str, variant: Variant[Model], folder: Path | None, order: _Order) -> AuditReport:
    """Audit a model, or load its finished audits from the folder, and save them there."""
    from babelmix.encoders.kinds import kind_of
    from babelmix.evaluation import audit as run_audit
    from babelmix.evaluation import audit_both_ways
    from babelmix.evaluation.perturb import perturb_loss
    from babelmix.evaluation.run import finished
    from babelmix.evaluation.systems import EncoderSystem, Vectors

    system: ExactSystem
    model = variant.model
    if _is_system(model):
        system, ways = model, {"": order.data}
        if isinstance(model, Vectors):
            system = model.cut(name, variant.dimensions or model.dimensions, variant.precision or model.precision)
    else:
        system = EncoderSystem(
            order.encoder(cast("str | Path | SentenceTransformer", model)), name, order.batch_size, bf16=order.bf16,
            details=True, dimensions=variant.dimensions, precision=variant.precision,
        )  # fmt: skip
        ways = order.ways
    places = {way: folder / way for way in ways} if folder is not None else {}
    before = [
        finished(place, system.facts(ways[way], copies=order.copies), order.metrics) for way, place in places.items()
    ]
    found = [one for one in before if one is not None]
    if len(found) < len(ways):
        if isinstance(system, EncoderSystem) and order.data.has_images:
            found = list(audit_both_ways(system, order.data, metrics=order.metrics, copies=order.copies))
        else:
            found = [run_audit(system, order.data, metrics=order.metrics, copies=order.copies)]
    for one, place in zip(found, places.values(), strict=False):
        # Save before noise is measured, so that an interruption does not lose the audit.
        save_audit(one, place)
    perturbed = None
    if order.perturb and isinstance(system, EncoderSystem):
        encoder = system.encoder
        perturbed = perturb_loss(
            encoder, order.data, found[0], order.perturb, seed=order.perturb_seed, rate=order.typo_rate,
            batch_size=order.batch_size, store=kind_of(encoder).stored, bf16=order.bf16,
        )  # fmt: skip
    for one, place in zip(found, places.values(), strict=False):
        save_report(one, place, perturbed)
    return AuditReport(name, found[0], found[1] if len(found) > 1 else None, perturbed, folder=folder)


def _saved(against: Path, folders: Sequence[Path | None], order: _Order) -> list[Audit]:
    """Load the audits in the folder `against`. Check first that they are of the same corpus and will not be overwritten."""
    from babelmix.evaluation import Audit
    from babelmix.evaluation.audit_facts import AuditFacts
    from babelmix.experiment.audits import check_same_corpus

    if against.resolve() in [folder.resolve() for folder in folders if folder is not None]:
        raise ArgumentError("against", f"{against} is where the new audit goes; choose another folder with out")
    found = []
    for way, corpus in order.ways.items():
        place = against / way
        if way and not (place / "ranks.parquet").is_file():
            raise AuditError(f"{place}: is not a finished audit; run  babelmix audit  again")
        one = Audit.load(place, order.metrics)
        copies = None if one.table.about.copies is None else {"count_as": order.copies}
        this = AuditFacts(corpus=corpus.name, fingerprint=corpus.fingerprint(), copies=copies)
        check_same_corpus(str(place), one.table.about, "this", this)
        found.append(one)
    return found


def _judged(saved: Sequence[Audit] | None) -> Judged | None:
    """The measures of a saved audit, as rules with `before` need them."""
    if saved is None:
        return None
    return AuditReport("before", saved[0], saved[1] if len(saved) > 1 else None).judged()


def _compared(
    reports: Sequence[AuditReport], against: Path | None, saved: Sequence[Audit] | None
) -> tuple[AuditComparison, ...]:
    """The comparisons, one for each direction; none for a single audit without `against`."""
    from babelmix.experiment import compare_loaded, ranked
    from babelmix.experiment.audits import names_of

    if len(reports) == 1 and saved is None:
        return ()
    places = [report.folder or Path(report.name) for report in reports] + ([against] if against is not None else [])
    result = []
    for number in range(min(len(report.audits) for report in reports)):
        audits = [list(report.audits.values())[number] for report in reports]
        audits += [saved[number]] if saved is not None else []
        names = names_of(audits, places)
        named = dict(zip(names, audits, strict=True))
        result.append(compare_loaded(ranked(named), base=names[-1] if saved is not None else None))
    return tuple(result)


__all__ = ["audit"]
