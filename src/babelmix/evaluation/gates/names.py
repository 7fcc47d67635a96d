"""The measure that a person means: by its name `SETTING/METRIC`, by its title in reports, or in plain words."""

from __future__ import annotations

import contextlib
import difflib
import re

from babelmix.errors import ConfigError
from babelmix.evaluation.bias import BIAS_METRICS
from babelmix.evaluation.list_measures import LIST_MEASURES
from babelmix.evaluation.measure_info import SETTINGS, measure_info, setting_title
from babelmix.evaluation.metrics import METRICS

_OWN = re.compile(r"\b(own|same)[ -]lang(uage\b|\.|\b)", re.IGNORECASE)
_CUTOFF = re.compile(r"(.*?) ?@ ?(\d+)")
_TYPICAL = 10
"""The cut-off of the names that are suggested."""


def measure_of(written: str) -> str:
    """The name of a measure, `SETTING/METRIC`.

    These are the same: `bias/same-language share@10`, `same-language share@10`, `own-language share@10`, `own lang.@10`; and
    `multi/mAP`, `multi mAP`, `multilingual mAP`. Capital letters make no difference.

    Args:
        written: the name as a person writes it.

    Raises:
        ConfigError: there is no such measure. The message has the nearest names.

    Examples:
        >>> measure_of("own-language share@10"), measure_of("Multilingual nDCG@10")
        ('bias/same-language share@10', 'multi/nDCG@10')

    """
    for exact in (written, f"bias/{written}"):
        with contextlib.suppress(ConfigError):
            return measure_info(exact).name
    found = _CUTOFF.fullmatch(written)
    base, k = (found[1], f"@{found[2]}") if found else (written, "")
    forms = _forms()
    name = forms.get(_key(base))
    if name is not None:
        try:
            return measure_info(name + k).name
        except ConfigError:
            if not k:
                raise ConfigError(f"{written!r} needs a cut-off, such as {name}@{_TYPICAL}") from None
            raise ConfigError(f"{written!r} has no cut-off; write {name}") from None
    raise ConfigError(f"there is no measure {written!r}; {_nearest(written, k, forms)}")


def _forms() -> dict[str, str]:
    """The name of a measure, without its cut-off, by each way to write it."""
    forms: dict[str, str] = {}
    ambiguous: set[str] = set()

    def add(written: str, name: str) -> None:
        key = _key(written)
        if forms.setdefault(key, name) != name:
            ambiguous.add(key)

    for setting in SETTINGS:
        for base, metric in METRICS.items():
            for title in {base, metric.title or base}:
                for words in (f"{setting}/{title}", f"{setting} {title}", f"{setting_title(setting)} {title}"):
                    add(words, f"{setting}/{base}")
    bases = [*BIAS_METRICS, *LIST_MEASURES]
    for base in bases:
        for words in (f"bias/{base}", base):
            forms[_key(words)] = f"bias/{base}"
    names = set(forms)
    for base, bias in BIAS_METRICS.items():
        for words in filter(None, (bias.title, bias.short)):
            if _key(words) not in names:
                add(words, f"bias/{base}")
    return {key: name for key, name in forms.items() if key not in ambiguous}


def _key(written: str) -> str:
    return _OWN.sub("same-language", " ".join(written.split())).casefold()


def _nearest(written: str, k: str, forms: dict[str, str]) -> str:
    """The measures with the most similar names."""
    spelled = dict.fromkeys(forms.values())
    near = difflib.get_close_matches(_key(written.partition("@")[0]), forms, n=12, cutoff=0.5)
    names = list(dict.fromkeys(_complete(forms[key], k) for key in near))[:3]
    if not names:
        return f"name one such as {', '.join(_complete(name, k) for name in list(spelled)[:3])}; see docs/ci.md"
    return f"the nearest are {', '.join(names)}" if len(names) > 1 else f"the nearest is {names[0]}"


def _complete(name: str, k: str) -> str:
    """A name with the cut-off that it can have."""
    for one in (name + k, name, f"{name}@{_TYPICAL}"):
        try:
            return measure_info(one).name
        except ConfigError:
            continue
    return name


__all__ = ["measure_of"]
