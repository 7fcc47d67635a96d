"""Figures of `growth.py`: what grows, against a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from babelmix.experiment.report import figures


@dataclass(frozen=True)
class Growth:
    """A panel of `growth_curves`.

    Args:
        title: of what is shown, with its unit.
        series: by name, points of (size, value), sizes ascending.
        log: whether values are on a logarithmic axis, where growth in proportion is a straight line of the one slope.

    """

    title: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    log: bool = False


def growth_curves(panels: Sequence[Growth], *, x_label: str) -> str:
    """A panel a measure against a size on a logarithmic axis; a dashed line shows growth in proportion where both axes are."""
    from matplotlib.ticker import NullFormatter

    figure, axes = figures.new_figure(3.4 * len(panels) + 0.4, 3.6, 1, len(panels))
    for axis, panel in zip(axes[0], panels, strict=True):
        for number, (name, points) in enumerate(panel.series.items()):
            size, value = np.array(points).T
            marker = f"{figures.MARKERS[number % len(figures.MARKERS)]}-"
            axis.plot(
                size, value, marker, color=figures.PALETTE[number % len(figures.PALETTE)], label=name, markersize=5
            )
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
        if panel.log:
            axis.set_yscale("log")
            axis.yaxis.set_minor_formatter(NullFormatter())
            size, value = np.array(max(panel.series.values(), key=lambda points: points[-1][1])).T
            bottom, top = axis.get_ylim()
            axis.plot(size, value[-1] * size / size[-1], "--", color="grey", linewidth=0.9, label="in proportion")
            axis.set_ylim(bottom, top)
        else:
            axis.set_ylim(bottom=0)
        axis.set_title(panel.title, fontsize=9)
        axis.set_xlabel(x_label)
        axis.grid(linewidth=0.4, alpha=0.5)
        # Below: beside the lines there is no place that is always free.
        axis.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2))
    return figures.as_svg(figure)
