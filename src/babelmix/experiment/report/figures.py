"""Figures as SVG, readable in print and with colour blindness."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from babelmix.evaluation import measure_info

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

# Okabe and Ito (2008): distinguishable with any colour vision.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#F0E442")
MARKERS = "osD^vPX*"
_SEQUENTIAL = "cividis"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "babelmix",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each system. All figures of a report get the same ones, so that a colour means one system."""
    return {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(dict.fromkeys(names))}


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, npt.NDArray[Any]]:
    """A figure in the style of the reports, and its axes, shape (rows, columns)."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    with plt.rc_context(_STYLE):
        return plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")


def as_svg(figure: Figure) -> str:
    """The figure as SVG; the figure is closed."""
    import matplotlib.pyplot as plt

    canvas: Any = figure.canvas
    sink = io.StringIO()
    with plt.rc_context(_STYLE):
        # No date, so that equal numbers give equal files. `savefig` writes the same, but draws twice to settle the layout.
        canvas.print_svg(sink, metadata={"Date": None})
    plt.close(figure)
    return sink.getvalue()


def _text_colour(value: float, low: float, high: float) -> str:
    return "white" if high <= low or (value - low) / (high - low) < 0.55 else "black"


def heatmaps(
    planes: Mapping[str, Floats],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_label: str,
    column_label: str,
    digits: int = 2,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """One heatmap per plane, all on one colour scale that fits the data; cells have their numbers if there is room.

    Args:
        planes: a matrix by title, float64, shape (rows, columns); NaN cells stay empty.
        rows: the tick labels of the vertical axis.
        columns: the tick labels of the horizontal axis.
        row_label: the label of the vertical axis.
        column_label: the label of the horizontal axis.
        digits: the number of digits after the decimal point.
        low: the lowest value of the colour scale; by default the smallest value.
        high: the highest value of the colour scale; by default the largest value.

    """
    across = min(3, len(planes))
    down = -(-len(planes) // across)
    # A cell with a number has room for "1,234" or "0.12".
    cell = 0.46 if across == 1 else 0.26
    width = max(3.0, cell * len(columns) + 1.2) * across + 0.6
    figure, axes = new_figure(width, max(2.6, cell * len(rows) + 1.1) * down, down, across)
    known = np.concatenate([plane[~np.isnan(plane)] for plane in planes.values()] + [np.zeros(0)])
    known = known if len(known) else np.array([0.0, 1.0])
    bottom, top = float(known.min()) if low is None else low, float(known.max()) if high is None else high
    image = None
    for axis, (title, plane) in zip(axes.ravel(), planes.items(), strict=False):
        image = axis.imshow(plane, cmap=_SEQUENTIAL, vmin=bottom, vmax=top, aspect="auto")
        axis.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
        axis.set_yticks(range(len(rows)), rows, fontsize=8)
        axis.set_title(title)
        axis.spines[:].set_visible(False)
        if across == 1 and plane.size <= 500:
            for (i, j), value in np.ndenumerate(plane):
                if not np.isnan(value):
                    colour = _text_colour(value, bottom, top)
                    axis.text(j, i, f"{value:,.{digits}f}", ha="center", va="center", fontsize=7, color=colour)
    for axis in axes.ravel()[len(planes) :]:
        axis.set_visible(False)
    figure.supxlabel(column_label, fontsize=9)
    figure.supylabel(row_label, fontsize=9)
    if image is not None:
        figure.colorbar(image, ax=axes.ravel().tolist(), shrink=0.7)
    return as_svg(figure)


def grouped_bars(
    series: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    *,
    value_label: str,
    fair: Sequence[float] | None = None,
    colours: Mapping[str, str] | None = None,
    size: tuple[float, float] | None = None,
) -> str:
    """Bars side by side for each label; `fair` draws a line at the value of an unbiased encoder.

    Args:
        series: for each name the values, one for each label; NaN for none.
        labels: the tick labels of the horizontal axis.
        value_label: the label of the vertical axis.
        fair: the fair value of each label.
        colours: the colour of each name; see `colours_of`.
        size: width and height in inches; by default wide enough for the bars.

    """
    colours = colours or colours_of(series)
    wide = max(6.0, 0.16 * len(series) * len(labels) + 1.5)
    figure, axes = new_figure(*(size or (wide, 3.0)))
    axis: Axes = axes[0, 0]
    width = 0.8 / max(1, len(series))
    for number, (name, values) in enumerate(series.items()):
        at = np.arange(len(labels)) + (number - (len(series) - 1) / 2) * width
        axis.bar(at, values, width, label=name, color=colours[name], edgecolor="white", linewidth=0.4)
    if fair is not None:
        for i, value in enumerate(fair):
            axis.plot(
                [i - 0.45, i + 0.45], [value, value], color="black", linewidth=1.6, label="fair share" if i == 0 else None
            )  # fmt: skip
    # Tags that would touch each other stand upright.
    crowded = sum(map(len, labels)) + 2 * len(labels) > 13 * (size or (wide,))[0]
    axis.set_xticks(range(len(labels)), labels, rotation=90 if crowded else 0)
    axis.set_ylabel(value_label)
    if value_label.startswith("share"):
        axis.set_ylim(0, 1.0)
        axis.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25%", "50%", "75%", "100%"])
    axis.grid(axis="y", linewidth=0.4, alpha=0.5)
    axis.set_axisbelow(True)
    if len(series) > 1 or fair is not None:
        figure.legend(loc="outside upper center", ncols=min(4, len(series) + 1), fontsize=8)
    return as_svg(figure)


def boxes(series: Mapping[str, Sequence[Sequence[float] | None]], labels: Sequence[str], *, value_label: str) -> str:
    """Box plots side by side for each label. Whiskers: quantiles 0.05 and 0.95; box: 0.25 and 0.75; line: the median.

    Args:
        series: for each name a list with, for each label, the quantiles 0.05, 0.25, 0.5, 0.75 and 0.95, or None.
        labels: the tick labels of the horizontal axis.
        value_label: the label of the vertical axis.

    """
    figure, axes = new_figure(max(6.0, 0.25 * len(series) * len(labels) + 1.5), 3.2)
    axis: Axes = axes[0, 0]
    width = 0.8 / max(1, len(series))
    for number, (name, found) in enumerate(series.items()):
        colour = PALETTE[number % len(PALETTE)]
        stats, at = [], []
        for place, quantiles in enumerate(found):
            if quantiles is not None:
                stats.append(dict(zip(("whislo", "q1", "med", "q3", "whishi"), quantiles, strict=True)))
                at.append(place + (number - (len(series) - 1) / 2) * width)
        line = {"color": colour, "linewidth": 1.2}
        axis.bxp(
            stats, positions=at, widths=0.8 * width, showfliers=False, patch_artist=True, manage_ticks=False,
            boxprops={"facecolor": colour, "alpha": 0.35, "edgecolor": colour}, medianprops=line | {"linewidth": 2},
            whiskerprops=line, capprops=line,
        )  # fmt: skip
        axis.plot([], [], color=colour, linewidth=5, alpha=0.5, label=name)
    axis.set_xticks(range(len(labels)), labels)
    axis.set_ylabel(value_label)
    axis.grid(axis="y", linewidth=0.4, alpha=0.5)
    figure.legend(loc="outside upper center", ncols=len(series), fontsize=8)
    return as_svg(figure)


def settings_overview(
    rows: Sequence[tuple[str, Mapping[str, tuple[float, float, float]]]],
    panels: Sequence[tuple[str, str]],
    colours: Mapping[str, str] | None = None,
) -> str:
    """The headline as points with intervals, one panel per measure: scores on an axis from 0, ranks on a logarithmic axis.

    Args:
        rows: for each encoder its name, and (value, low, high) by measure.
        panels: for each panel the measure and the title.
        colours: the colour of each name; see `colours_of`.

    """
    colours = colours or colours_of(name for name, _ in rows)
    figure, axes = new_figure(2.6 * len(panels) + 1.2, 0.4 * len(rows) + 1.1, 1, len(panels))
    for column, (key, title) in enumerate(panels):
        axis: Axes = axes[0, column]
        info = measure_info(key)
        shown = [values[key] for _, values in rows if key in values]
        for i, (name, values) in enumerate(rows):
            if key not in values:
                continue
            value, low, high = values[key]
            colour = colours[name]
            axis.plot([low, high], [i, i], color=colour, linewidth=2.5, solid_capstyle="butt", alpha=0.6)
            axis.plot(value, i, MARKERS[i % len(MARKERS)], color=colour, markersize=7)
            text = info.shown(value)
            axis.annotate(text, (value, i), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
        axis.set_title(title, fontsize=9)
        axis.set_yticks(range(len(rows)), [name for name, _ in rows] if column == 0 else [""] * len(rows))
        axis.set_ylim(len(rows) - 0.4, -0.8)
        axis.grid(axis="x", linewidth=0.4, alpha=0.5)
        low, high = (pick(value for one in shown for value in one) for pick in (min, max)) if shown else (0.0, 1.0)
        if info.format == "rank" and low > 0:
            _logarithmic(axis, low, high)
            axis.set_xlabel("log axis; lower is better" if info.better == "lower" else "log axis", fontsize=8)
        elif info.format == "rank":
            axis.set_xlim(*_with_margin(min(low, 0), high))
        else:
            # A margin on both sides, so that the numbers at the ends are not cut.
            axis.set_xlim(*_with_margin(min(0.0, low), max(high, 1.0 if high > 0.5 else high)))
            axis.set_xlabel("higher is better" if info.better == "higher" else "", fontsize=8)
    return as_svg(figure)


def differences(rows: Sequence[tuple[str, Mapping[str, tuple[float, float, float]]]], panels: Sequence[str]) -> str:
    """Differences with their intervals, one panel per measure. A line marks no difference; arrows say where better is.

    Args:
        rows: for each pair of systems its name, and (value, low, high) of the difference by measure.
        panels: the measures.

    """
    figure, axes = new_figure(2.7 * len(panels) + 1.6, 0.36 * len(rows) + 1.2, 1, len(panels))
    for column, key in enumerate(panels):
        axis: Axes = axes[0, column]
        info = measure_info(key)
        for i, (_, values) in enumerate(rows):
            if key not in values:
                continue
            value, low, high = values[key]
            real = low > 0 or high < 0
            good = info.better is not None and (value > 0) == (info.better == "higher")
            colour = "#5d5d66" if not real or info.better is None else "#0072B2" if good else "#D55E00"
            axis.plot([low, high], [i, i], color=colour, linewidth=2.5, solid_capstyle="butt")
            # Filled: the interval excludes 0.
            axis.plot(value, i, "o", color=colour, markersize=7, markerfacecolor=colour if real else "white")
            text = f"{'+' if value > 0 else ''}{info.shown(value)}"
            axis.annotate(text, (value, i), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
        axis.axvline(0, color="black", linewidth=1)
        axis.set_title(info.title, fontsize=9)
        axis.set_yticks(range(len(rows)), [name for name, _ in rows] if column == 0 else [""] * len(rows))
        axis.set_ylim(len(rows) - 0.4, -0.8)
        shown = [value for _, values in rows if key in values for value in values[key]] or [0.0]
        axis.set_xlim(*_with_margin(min(0.0, *shown), max(0.0, *shown)))
        axis.locator_params(axis="x", nbins=5)
        axis.xaxis.set_major_formatter(lambda value, place: f"{value:,.6g}")
        axis.grid(axis="x", linewidth=0.4, alpha=0.5)
        arrow = {"higher": "better →", "lower": "← better"}.get(info.better or "", "")
        axis.set_xlabel(arrow, fontsize=8)
    return as_svg(figure)


def _with_margin(low: float, high: float) -> tuple[float, float]:
    """Limits with room for a number beyond both ends."""
    room = 0.16 * (high - low) or 0.5
    return low - room, high + room


def _logarithmic(axis: Axes, low: float, high: float) -> None:
    """A logarithmic axis with room at both ends, and two ticks or more, each with its number."""
    from matplotlib.ticker import NullLocator

    axis.set_xscale("log")
    room = max((high / low) ** 0.16, 1.15)
    low, high = low / room, high * room
    axis.set_xlim(low, high)
    ticks = log_ticks(low, high)
    axis.set_xticks(ticks, [f"{tick:,.6g}" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers for the ticks of a logarithmic axis: at least two, at most five.

    Examples:
        >>> log_ticks(0.6, 1.4), log_ticks(3, 4000)
        ([0.6, 0.8, 1.0, 1.2, 1.4], [10.0, 100.0, 1000.0])

    """
    decades = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 1)
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5)):
        found = [
            float(f"{step}e{decade}") for decade in decades for step in steps if low <= step * 10.0**decade <= high
        ]
        if len(found) >= 3:
            return found[:: -(-len(found) // 5)]
    # Less than a decade: round numbers at equal distances.
    exponent = int(np.floor(np.log10((high - low) / 2)))
    for decade in (exponent, exponent - 1):
        for step in (5, 2, 1):
            width = step * 10.0**decade
            some = [
                float(f"{n * width:.6g}")
                for n in range(int(np.ceil(low / width - 1e-9)), int(high / width + 1e-9) + 1)
            ]
            if len(some) >= 3:
                return some[:: -(-len(some) // 5)]
    return [float(f"{low:.3g}"), float(f"{high:.3g}")]


def curves(
    series: Mapping[str, Sequence[Sequence[tuple[int, float]]]],
    *,
    x_label: str,
    y_label: str,
    colours: Mapping[str, str] | None = None,
) -> str:
    """One line per name, the mean over its runs, with a band from the lowest to the highest run."""
    colours = colours or colours_of(series)
    figure, axes = new_figure(6.5, 3.2)
    axis: Axes = axes[0, 0]
    for name, runs in series.items():
        steps = [step for step, _ in runs[0]]
        values = np.array([[value for _, value in run][: len(steps)] for run in runs])
        colour = colours[name]
        axis.plot(steps, values.mean(axis=0), color=colour, label=name, linewidth=1.6)
        axis.fill_between(steps, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", linewidth=0.4, alpha=0.5)
    figure.legend(loc="outside right upper", fontsize=8)
    return as_svg(figure)


def alpha_curves(alphas: Sequence[float], series: Mapping[str, Sequence[tuple[float, float, float]]]) -> str:
    """Each measure as a function of alpha, with intervals, one panel per measure. Alpha 0 is `cross`, 1 is `mono`."""
    figure, axes = new_figure(2.7 * len(series) + 0.4, 2.8, 1, len(series))
    for column, (name, points) in enumerate(series.items()):
        axis: Axes = axes[0, column]
        value, low, high = np.array(points).T
        axis.fill_between(alphas, low, high, color=PALETTE[0], alpha=0.2, linewidth=0)
        axis.plot(alphas, value, "o-", color=PALETTE[0])
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("alpha (0 cross, 1 mono)")
        axis.grid(axis="y", linewidth=0.4, alpha=0.5)
    return as_svg(figure)
