"""The frontier of language removal: own-language recall against other-language recall, and a choice that is held out.

`held_out` divides the queries by group. `sweep` measures every share alpha of every removal on the validation part, by exact
ranks. A `Rule` chooses a point. The chosen point and untouched vectors are then measured on the test part.
"""

from __future__ import annotations

from babelmix.evaluation.frontier.applied import POLICIES, Policy, Sides
from babelmix.evaluation.frontier.choice import KEEP, Rule, check_rule
from babelmix.evaluation.frontier.held_out import Part, held_out
from babelmix.evaluation.frontier.mix import Mix, mix_of
from babelmix.evaluation.frontier.sweep import (
    ALPHAS,
    MEASURES,
    OTHER_RECALL,
    SAME_RECALL,
    UNTOUCHED,
    Point,
    Searched,
    Setting,
    check_removals,
    settings_of,
    sweep,
    titles_of,
)

__all__ = [
    "ALPHAS", "KEEP", "MEASURES", "OTHER_RECALL", "POLICIES", "SAME_RECALL", "UNTOUCHED", "Mix", "Part", "Point", "Policy",
    "Rule", "Searched", "Setting", "Sides", "check_removals", "check_rule", "held_out", "mix_of", "settings_of", "sweep",
    "titles_of",
]  # fmt: skip
