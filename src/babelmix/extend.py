"""Add your own parts to babelmix without changing it.

Each function registers one thing under a name. Everything that takes such a name then knows it: Python functions, commands
and TOML files. A module with such calls is a plugin. There are three ways to load one:

- Import it, from Python.
- `babelmix --plugin my_plugin.py audit ...`, on the command line.
- Install it as a package with an entry point in the group `babelmix.plugins` that names the module.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from babelmix.errors import BabelmixError, ConfigError, first_line

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from babelmix.encoders.removal.own import Fit
    from babelmix.evaluation.bias import BiasValues
    from babelmix.evaluation.metrics.base import Floats, RankedLists
    from babelmix.evaluation.ranks import RankTable
    from babelmix.training.registry import LossFactory

F = TypeVar("F", bound="LossFactory")
B = TypeVar("B", bound="Callable[[RankTable], Floats | BiasValues]")
M = TypeVar("M", bound="Callable[[RankedLists, int | None], Floats]")
L = TypeVar("L", bound="Callable[[str], SentenceTransformer]")
R = TypeVar("R", bound="Fit")
T = TypeVar("T")


def bias_metric(
    name: str,
    *,
    better: Literal["higher", "lower"] | None,
    title: str = "",
    short: str = "",
    aggregate: Literal["mean", "median"] = "mean",
) -> Callable[[B], B]:
    """Add a bias metric. Every audit then has it as `bias/NAME`: with intervals and tests, in reports and `metrics.json`.

    Args:
        name: the name, without `/`, `@` and commas.
        better: which values are better, `"higher"` or `"lower"`; None if neither is. Tests and early stopping need it.
        title: the name in reports; by default `name`.
        short: the column head on a terminal; by default the title.
        aggregate: what stands for the values of a language: their `"mean"` or their `"median"`.

    Returns:
        A decorator for the function. It takes a `babelmix.evaluation.RankTable` and returns a value per query row, float64,
        shape (queries,), NaN for a query that has none. Values of one language are averaged, then the languages.

    Raises:
        ConfigError: the name is part of babelmix, or has a character that it must not have.

    Examples:
        >>> import numpy as np
        >>> from babelmix import extend
        >>> @extend.bias_metric("crowded", better="lower", title="passages before the first answer")
        ... def crowded(table):
        ...     values = np.full(len(table.query_lang), np.nan)
        ...     np.fmin.at(values, table.pair_query, table.rank_in_all())
        ...     return values
        >>> from babelmix.evaluation import measure_info
        >>> measure_info("bias/crowded").title
        'passages before the first answer'
        >>> from babelmix.evaluation.bias import BIAS_METRICS
        >>> BIAS_METRICS.unregister("crowded")  # only here, so that no other example has it

    """
    from babelmix.evaluation.bias import BIAS_METRICS, BiasMetric
    from babelmix.evaluation.measure_info import check_own_name

    check_own_name(name)

    def register(function: B) -> B:
        BIAS_METRICS.register(name, BiasMetric(function, better, title, short, aggregate))
        return function

    return register


def encoder(
    name: str,
    *,
    like: str = "model",
    batch_size: int | None = None,
    store: bool | None = None,
    learning_rate: float | None = None,
    temperature: float | None = None,
) -> Callable[[L], L]:
    """Add a kind of encoder. `NAME` and `NAME:ANYTHING` are then names of encoders wherever babelmix takes one.

    Args:
        name: the prefix: a letter, then letters, digits, `-` and `_`.
        like: a kind of babelmix whose settings yours has unless given here: `"model"` for transformers, `"static"` for token
            vectors, see `babelmix.encoders.kinds`.
        batch_size: texts per forward pass.
        store: whether embeddings are kept in the user's cache; not worth it where encoding is faster than a disk.
        learning_rate: the default of training.
        temperature: the default of training.

    Returns:
        A decorator for the function. It takes the whole name, such as `hash:256`, and returns a `SentenceTransformer`.

    Raises:
        ConfigError: the name is part of babelmix, or is not made of these characters; or there is no kind `like`.

    Examples:
        >>> from babelmix import extend
        >>> from babelmix.encoders import load_encoder, static
        >>> @extend.encoder("letters", like="static")
        ... def letters(name):
        ...     dimension = int(name.partition(":")[2])
        ...     return static.from_scratch(["abcdefghijklmnopqrstuvwxyz"], dimension=dimension)
        >>> load_encoder("letters:16").encode(["a dog"]).shape
        (1, 16)

    """
    from babelmix.encoders.kinds import register_kind

    def register(function: L) -> L:
        register_kind(
            name, function, like=like, batch_size=batch_size, store=store, learning_rate=learning_rate, temperature=temperature
        )  # fmt: skip
        return function

    return register


def engine(scheme: str) -> Callable[[T], T]:
    """Register a search engine: a store of vectors behind an index.

    Write it as a subclass of `babelmix.search.engines.Engine`, and test it with
    `babelmix.search.engines.contract.check_engine`.

    Args:
        scheme: of the addresses of its indexes: `memory` for `memory://my-index`.

    Returns:
        A decorator for the class.

    Raises:
        ConfigError: the scheme is malformed, or that of an engine of babelmix.

    Examples:
        >>> from babelmix.search.engines import Engine, exists
        >>> @engine("nowhere")
        ... class NowhereEngine(Engine):
        ...     @classmethod
        ...     def exists(cls, address):
        ...         return False
        >>> exists("nowhere://my-index")
        False

    """
    from babelmix.search.engines.opening import register_engine

    def register(made: T) -> T:
        register_engine(scheme, made)  # type: ignore[arg-type]
        return made

    return register


def load_plugin(plugin: str | Path) -> None:
    """Run a plugin: a Python file, or a module that is installed.

    The code runs with all rights of this process: load only what you trust.

    Args:
        plugin: the path of a `.py` file, or the dotted name of a module.

    Raises:
        BabelmixError: there is no such file or module, or its code fails.

    Examples:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "my_plugin.py")
        ...     _ = file.write_text("print('registered')")
        ...     load_plugin(file)
        registered

    """
    file = Path(plugin)
    try:
        if file.suffix != ".py":
            importlib.import_module(str(plugin))
            return
        spec = importlib.util.spec_from_file_location(file.stem, file)
        if spec is None or spec.loader is None or not file.is_file():
            raise BabelmixError(f"the plugin {plugin}: there is no such file")
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(file.stem, module)
        spec.loader.exec_module(module)
    except BabelmixError:
        raise
    except Exception as error:  # the plugin's own code may raise anything
        raise BabelmixError(f"the plugin {plugin} fails: {type(error).__name__}: {first_line(error)}") from error


def loss(name: str) -> Callable[[F], F]:
    """Register a loss for (query, passage) pairs, which `loss.name` of the training settings then knows.

    Its columns are `query`, `passage` and, where the corpus has hard negatives, `negative`. The loss is for texts. It goes
    with every batch strategy but `one_to_k`, and with neither consistency, a teacher nor GradCache.

    Args:
        name: the name to use it by.

    Returns:
        A decorator for a factory. It takes the encoder, a `SentenceTransformer`, and the training settings with every default
        filled in. It returns a loss as sentence-transformers has them: a `torch.nn.Module` whose `forward(features, labels)`
        returns a scalar.

    Raises:
        ConfigError: babelmix itself has a loss of this name.

    Examples:
        >>> from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
        >>> from babelmix import extend
        >>> @extend.loss("plain")
        ... def plain(encoder, settings):
        ...     return MultipleNegativesRankingLoss(encoder, scale=1 / settings.loss.temperature)
        >>> from babelmix.training import LOSSES, TrainingSettings
        >>> TrainingSettings(loss={"name": "plain"}).loss.name
        'plain'
        >>> LOSSES.unregister("plain")  # only here, so that no other example has it

    """
    from babelmix.training.registry import LOSSES

    def register(factory: F) -> F:
        LOSSES.register(name, factory)
        return factory

    return register


def metric(name: str, *, needs_cutoff: bool = False, title: str = "") -> Callable[[M], M]:
    """Add a ranking metric, which `--metrics NAME@K`, `compare.tests` and `stop_on` then know; more of it is better.

    Args:
        name: the name: a letter, then letters, digits, `-` and `_`.
        needs_cutoff: whether the metric is undefined without a cut-off.
        title: the name in reports, before `@k`; by default `name`.

    Returns:
        A decorator for the function. It takes the ranks of the relevant passages of many queries, a
        `babelmix.evaluation.metrics.RankedLists`, and the cut-off k, None for no cut-off. It returns a value per list,
        float64, shape (lists,).

    Raises:
        ConfigError: the name is part of babelmix, or is not made of these characters.

    Examples:
        >>> import numpy as np
        >>> from babelmix import extend
        >>> @extend.metric("P", needs_cutoff=True, title="precision")
        ... def precision(lists, k):
        ...     return lists.sum(lists.ranks < k) / k
        >>> from babelmix.evaluation import measure_info
        >>> measure_info("multi/P@5").title
        'multilingual precision@5'
        >>> from babelmix.evaluation.metrics import METRICS
        >>> METRICS.unregister("P")  # only here, so that no other example has it

    """
    from babelmix.evaluation.metrics import METRICS, NAME, RankingMetric

    if not NAME.fullmatch(name):
        raise ConfigError(f"a metric cannot be named {name!r}; use a letter, then letters, digits, - and _")

    def register(function: M) -> M:
        METRICS.register(name, RankingMetric(function, needs_cutoff, title))
        return function

    return register


def reader(name: str, *, summary: str, takes_path: bool | str = True) -> Callable[[T], T]:
    """Register a reader: a function that turns a path into a corpus.

    `open_corpus("NAME=PATH")` and every command's `--corpus NAME=PATH` then call the function as `read(path, **options)`. Its
    options are keyword-only and have defaults; a person sets them as in `NAME=PATH?limit=10`.

    Args:
        name: the reader's name.
        summary: one line for the list of readers of `babelmix data`.
        takes_path: True: a path is required. `"optional"`: without a path, the function gets None. False: the function gets no
            path.

    Returns:
        A decorator for the function.

    Raises:
        ConfigError: babelmix itself has a reader of this name, or `takes_path` is something else.

    Examples:
        >>> from babelmix.corpus import Corpus, open_corpus
        >>> @reader("two-words", summary="one pair of words", takes_path=False)
        ... def read(*, lang: str = "de") -> Corpus:
        ...     queries = [{"item": "1", "lang": "en", "text": "dog"}]
        ...     passages = [{"item": "1", "lang": lang, "text": "Hund"}]
        ...     return Corpus.from_rows(queries, passages, [("1", "1")], name="two-words")
        >>> open_corpus("two-words?lang=de-AT").langs
        ('de-AT', 'en')
        >>> from babelmix.corpus import READERS
        >>> READERS.unregister("two-words")  # only here, so that no other example has it

    """
    from babelmix.corpus.readers import NEVER, OPTIONAL, READERS, REQUIRED, Reader

    if takes_path not in (True, False, OPTIONAL):
        raise ConfigError(f"takes_path is True, False or {OPTIONAL!r}, not {takes_path!r}")
    path = OPTIONAL if takes_path == OPTIONAL else REQUIRED if takes_path else NEVER

    def register(read: T) -> T:
        READERS.register(name, Reader(summary, read, path))  # type: ignore[arg-type]
        return read

    return register


def removal(name: str, *, takes_away: str = "", usual_rank: Callable[[int], int] | None = None) -> Callable[[R], R]:
    """Add a method that takes language out of embeddings. `babelmix debias --method NAME` and `debiased` then know it.

    Args:
        name: the name.
        takes_away: what the method takes away, in a few words.
        usual_rank: from the number of languages to the default of `rank`; None: the method has no rank.

    Returns:
        A decorator for the function `fit(passages, queries, rank)`. `passages` and `queries` map each language to float32
        embeddings of shape (texts, dimension), of length one if the encoder compares by cosine. `rank` is 0 for a method without
        rank. The function returns one of:

        - a matrix M, float, shape (dimension, dimension): each embedding x becomes M x;
        - a pair of M and an offset b of shape (dimension,), for M x + b; or a `babelmix.encoders.removal.Removal`;
        - a `torch.nn.Module` that sentence-transformers can save, for encoders only. Only `--trust-code` loads such an encoder.

    Raises:
        ConfigError: babelmix itself has a method of this name.

    Examples:
        >>> import numpy as np
        >>> from babelmix import extend
        >>> from babelmix.encoders import static
        >>> from babelmix.encoders.debias import debiased
        >>> @extend.removal("first-dimension", takes_away="the first dimension")
        ... def first_dimension(passages, queries, rank):
        ...     matrix = np.eye(next(iter(passages.values())).shape[1])
        ...     matrix[0, 0] = 0
        ...     return matrix
        >>> texts = {"en": [f"dog number {n}" for n in range(20)], "de": [f"Hund Nummer {n}" for n in range(20)]}
        >>> model = static.from_scratch([*texts["en"], *texts["de"]], dimension=8)
        >>> float(debiased(model, texts, method="first-dimension").encode("dog")[0])
        0.0

    """
    from babelmix.encoders.removal.own import register_method

    def register(function: R) -> R:
        register_method(name, function, takes_away=takes_away, usual_rank=usual_rank)
        return function

    return register


def strategy(name: str) -> Callable[[T], T]:
    """Register a batch strategy: what each batch of a plan is made of.

    Write it as a subclass of `babelmix.batches.Strategy`, and as a frozen dataclass. It returns a `DrawRequest` for each step,
    and the plan draws the rows.

    Args:
        name: the name to use it by: letters, digits and `_`. `pivot` is for `pivot` and for `pivot(ARGUMENTS)`.

    Returns:
        A decorator for the class. It sets the `name` of the class.

    Raises:
        ConfigError: the name has other characters, or is the name of a strategy of babelmix; or the class is no `Strategy`.

    Examples:
        >>> from dataclasses import dataclass
        >>> from babelmix.batches import BatchPlan, DrawRequest, RegularIndex, Strategy
        >>> @strategy("pivot")
        ... @dataclass(frozen=True)
        ... class Pivot(Strategy):
        ...     lang: str = "en"
        ...
        ...     @classmethod
        ...     def parse(cls, arguments):
        ...         return cls() if arguments is None else cls(arguments.strip())
        ...
        ...     def requests(self, facts):
        ...         yield DrawRequest("cross", "different", "batches of a pivot", query_langs=(self.lang,))
        ...         yield DrawRequest("cross", "different", "batches of a pivot", passage_langs=(self.lang,))
        ...
        ...     def request(self, facts, step):
        ...         queries, passages = self.requests(facts)
        ...         return queries if facts.chance(step, "side of the pivot") < 0.5 else passages
        ...
        ...     def __str__(self):
        ...         return f"pivot({self.lang})"
        >>> index = RegularIndex(pairs=100, langs=["de", "en", "fr"])
        >>> plan = BatchPlan(index, "pivot(de)", 8)
        >>> [index.langs[lang] for lang in index.locate(plan[0].query_rows)[1]]
        ['de', 'de', 'de', 'de', 'de', 'de', 'de', 'de']

    """
    from babelmix.batches.strategies.registry import register_strategy

    def register(made: T) -> T:
        register_strategy(name, made)
        return made

    return register


__all__ = ["bias_metric", "encoder", "engine", "load_plugin", "loss", "metric", "reader", "removal", "strategy"]
