"""Pictures that can be pointed at, for the page: accuracies, differences, learning curves, clipping thresholds."""

from collections.abc import Sequence
from itertools import chain
from math import ceil
from typing import Any

from plotly import graph_objects
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.report.collect import Group, Run
from apot_lit.report.dots import bit_axis, side_by_side
from apot_lit.report.pairs import apot_and_uniform, apot_minus_uniform
from apot_lit.report.statistics import mean_half_width
from apot_lit.runs.protocol import SCHEME_NAMES, Row

COLOURS = {"apot": "#1f77b4", "uniform": "#ff7f0e", "pot": "#2ca02c", "float": "#7f7f7f"}
_SHIFT = {"apot": -0.2, "uniform": 0.02, "pot": 0.24, "float": 0.0}
_BESIDE = 0.09  # how far the dots stand from their mean
_TEMPLATE = "plotly_white"
_CONFIG = {"responsive": True, "displaylogo": False}


def script() -> str:
    """The JavaScript that the pictures need, once for a page."""
    return str(get_plotlyjs())


def as_html(figure: Any) -> str:
    """A picture as a part of a page that has `script`."""
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=_CONFIG))


def accuracy_picture(group: Group) -> Any:
    """Test accuracy against bits, a panel for each network: a dot for each seed, the mean with its 95 % interval."""
    models = group.models
    columns = min(2, len(models))
    lines = ceil(len(models) / columns)
    figure = make_subplots(lines, columns, subplot_titles=models, shared_yaxes="all", vertical_spacing=0.3 / lines)
    axis = bit_axis(row.bit for row in group.runs)
    shown: set[str] = set()
    for index, model in enumerate(models):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        for scheme, shift in _SHIFT.items():
            rows = sorted(row for row in group.runs if (row.model, row.scheme) == (model, scheme))
            if rows:
                _add_scheme(figure, group, rows, [axis[row.bit] + shift for row in rows], scheme not in shown, place)
                shown.add(scheme)
        full = group.runs.get(Row(model, FULL_PRECISION, "float"))
        if full:
            mean = 100 * sum(run.test_accuracy for run in full) / len(full)
            figure.add_hline(mean, line={"color": COLOURS["float"], "dash": "dash"}, **place)
    ticks = sorted({row.bit for row in group.runs})
    figure.update_xaxes(tickmode="array", tickvals=[axis[bit] for bit in ticks], ticktext=list(map(str, ticks)))
    figure.update_xaxes(title_text="bits", row=lines)
    figure.update_yaxes(title_text="test accuracy, %", col=1)
    return _finished(figure, 330 * lines + 60)


def difference_picture(group: Group) -> Any | None:
    """APoT minus uniform: a dot for each pair of one network and seed, the mean with its 95 % interval."""
    models = group.models
    every = [("all", models)] if len(models) > 1 else []
    names, means, halves, dots = [], [], [], []
    for bit in sorted({row.bit for row in group.runs} - {FULL_PRECISION}):
        for name, among in [*((model, [model]) for model in models), *every]:
            compared = apot_minus_uniform(group, among, bit)
            if compared is not None:
                names.append(f"{bit} bits, {name}")
                means.append(100 * compared.difference)
                halves.append(100 * compared.half_width)
                pairs = apot_and_uniform(group, among, bit) if name != "all" else {}
                dots += [
                    (names[-1], seed, 100 * (apot.test_accuracy - uniform.test_accuracy))
                    for (_, seed), (apot, uniform) in pairs.items()
                ]
    if not names:
        return None
    figure = graph_objects.Figure()
    figure.add_scatter(
        x=means,
        y=names,
        error_x={"type": "data", "array": halves, "thickness": 1.5, "width": 4},
        hovertemplate="%{y}: %{x:+.2f} ± %{error_x.array:.2f}<extra></extra>",
        mode="markers",
        marker={"color": "black", "symbol": "line-ns-open", "size": 14},
        showlegend=False,
    )
    figure.add_scatter(
        x=[difference for _, _, difference in dots],
        y=[name for name, _, _ in dots],
        customdata=[seed for _, seed, _ in dots],
        hovertemplate="%{y}, seed %{customdata}: %{x:+.2f}<extra></extra>",
        mode="markers",
        marker={"color": COLOURS["apot"], "size": 8, "opacity": 0.7},
        showlegend=False,
    )
    figure.add_vline(0, line={"color": "grey", "width": 1})
    figure.update_xaxes(title_text="APoT minus uniform, points")
    figure.update_yaxes(categoryorder="array", categoryarray=names)
    return _finished(figure, 24 * len(names) + 110)


def threshold_picture(run: Run) -> Any | None:
    """Every clipping threshold: where it began, and where training brought it."""
    history = run.result.get("history") or {}
    figure = make_subplots(2, 1, vertical_spacing=0.12, subplot_titles=["of weights", "of activations"])
    drawn = 0
    for line, kind in enumerate(("weight", "act"), start=1):
        curves = {name.split("/")[1]: _curve(history, name) for name in history if _is_threshold(name, kind)}
        for layer, (epochs, values) in reversed(curves.items()):
            if values:
                drawn += 1
                style = {"mode": "lines+markers", "marker": {"symbol": ["circle-open", "circle"], "size": 9}}
                figure.add_scatter(
                    x=[values[0], values[-1]],
                    y=[layer, layer],
                    customdata=[epochs[0], epochs[-1]],
                    hovertemplate="%{y}: alpha %{x:.3f} after epoch %{customdata:d}<extra></extra>",
                    line={"color": COLOURS["apot" if kind == "weight" else "uniform"]},
                    showlegend=False,
                    row=line,
                    col=1,
                    **style,
                )
    if not drawn:
        return None
    figure.update_xaxes(title_text="alpha; open: first epoch, filled: last epoch")
    figure.update_yaxes(automargin=True)
    return _finished(figure, 22 * drawn + 240)


def learning_curves(run: Run) -> Any | None:
    """Loss and error on training and validation images over the epochs."""
    history = run.result.get("history") or {}
    if not any(name in history for name in ("train/acc", "val/acc")):
        return None
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.08)
    for line, (metric, title) in enumerate((("loss", "loss"), ("acc", "error, %")), start=1):
        for split, name, colour in (("train", "training", COLOURS["apot"]), ("val", "validation", COLOURS["uniform"])):
            if f"{split}/{metric}" in history:
                epochs, values = _curve(history, f"{split}/{metric}")
                figure.add_scatter(
                    x=epochs,
                    y=values if metric == "loss" else [100 * (1 - value) for value in values],
                    name=name,
                    line={"color": colour},
                    mode="lines+markers",
                    showlegend=line == 1,
                    hovertemplate=f"{name}, epoch %{{x:d}}: %{{y:.4g}}<extra></extra>",
                    row=line,
                    col=1,
                )
        figure.update_yaxes(title_text=title, type="log", row=line, col=1)
    last = max(history["epoch"], default=1)
    figure.update_xaxes(tickformat="d", dtick=max(1, ceil(last / 12)), tick0=0)
    figure.update_xaxes(title_text="epoch", row=2)
    return _finished(figure, 520)


def _add_scheme(
    figure: Any, group: Group, rows: Sequence[Row], places: Sequence[float], first: bool, place: dict[str, int]
) -> None:
    scheme = rows[0].scheme
    colour, name = COLOURS[scheme], SCHEME_NAMES[scheme]
    dots = [(row, run) for row in rows for run in group.runs[row]]
    beside = [side_by_side(at + _BESIDE, len(group.runs[row])) for at, row in zip(places, rows, strict=True)]
    figure.add_scatter(
        x=list(chain.from_iterable(beside)),
        y=[100 * run.test_accuracy for _, run in dots],
        customdata=[[row.bit, run.seed] for row, run in dots],
        hovertemplate=f"{name}, %{{customdata[0]}} bits, seed %{{customdata[1]}}: %{{y:.2f}} %<extra></extra>",
        mode="markers",
        marker={"color": colour, "size": 6, "opacity": 0.55},
        legendgroup=name,
        showlegend=False,
        **place,
    )
    accuracies = [[run.test_accuracy for run in group.runs[row]] for row in rows]
    half_widths = [100 * mean_half_width([run.outcome for run in group.runs[row]]) for row in rows]
    figure.add_scatter(
        x=list(places),
        y=[100 * sum(values) / len(values) for values in accuracies],
        error_y={"type": "data", "array": half_widths, "thickness": 1.5, "width": 4},
        customdata=[[row.bit, len(values)] for row, values in zip(rows, accuracies, strict=True)],
        hovertemplate=f"{name}, %{{customdata[0]}} bits, mean of %{{customdata[1]}}: "
        "%{y:.2f} ± %{error_y.array:.2f} %<extra></extra>",
        mode="lines+markers",
        line={"color": colour, "width": 1},
        marker={"symbol": "line-ew-open", "size": 12, "color": colour},
        name=name,
        legendgroup=name,
        showlegend=first,
        **place,
    )


def _finished(figure: Any, height: int) -> Any:
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    figure.update_layout(template=_TEMPLATE, height=height, legend=legend, margin={"l": 10, "r": 10, "t": 60, "b": 40})
    figure.update_yaxes(automargin=True)
    return figure


def _is_threshold(name: str, kind: str) -> bool:
    return name.startswith("alpha/") and name.endswith(f"/{kind}")


def _curve(history: dict[str, Any], name: str) -> tuple[list[float], list[float]]:
    points = [(epoch, value) for epoch, value in zip(history["epoch"], history[name], strict=True) if value is not None]
    return [epoch for epoch, _ in points], [value for _, value in points]
