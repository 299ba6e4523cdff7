"""A picture of a weight's way from a float to shifts and adds."""

import torch
from matplotlib import pyplot
from matplotlib.figure import Figure

from apot_lit.quant.levels import level_set
from apot_lit.quant.quantizers import WeightQuantizer
from apot_lit.quant.terms import terms_of_codes

_BIT, _ALPHA, _WEIGHT, _ACTIVATION = 5, 2.4, -1.31, 12


def weight_way() -> Figure:
    """Draws how one normalised weight becomes a level, a code, and two shifts with an addition, at 5 bits."""
    levels = level_set("apot", _BIT - 1)
    quantizer = WeightQuantizer(levels, _ALPHA, normalize=False)
    code = int(quantizer(torch.tensor([_WEIGHT])).values)
    terms = [shift for _, shift in terms_of_codes(levels, levels.denominator)[abs(code)]]
    figure, axes = pyplot.subplots(figsize=(9, 3.1), layout="constrained")
    values = sorted({sign * float(level) for level in levels.levels for sign in (1, -1)})
    axes.vlines(values, 0, 1, color="tab:blue", lw=1)
    for code_there in sorted({sign * magnitude for sign in (1, -1) for magnitude in levels.codes}):
        position = code_there / levels.denominator
        axes.text(position, -0.12, str(code_there), ha="center", va="top", fontsize=7, rotation=90)
    ratio, level = _WEIGHT / _ALPHA, code / levels.denominator
    axes.annotate("", (level, 1.05), (ratio, 1.5), arrowprops={"arrowstyle": "->", "color": "tab:red"})
    axes.plot([ratio], [1.55], "o", color="tab:red")
    label = f"w / alpha = {_WEIGHT} / {_ALPHA} = {ratio:.4f}"
    axes.text(ratio - 0.03, 1.55, label, va="center", ha="right", fontsize=9)
    sums = " + ".join(f"2^{shift}" for shift in terms)
    shifts = " + ".join(f"(x << {shift})" for shift in terms)
    product = sum(_ACTIVATION << shift for shift in terms)
    lines = [
        f"level {code}/{levels.denominator}",
        f"code {code} = -({sums})",
        f"w x = -({shifts})",
        f"x = {_ACTIVATION}: {-product}, times one scale for the whole layer",
    ]
    assert -product == code * _ACTIVATION
    axes.text(0.02, 2.2, "\n".join(lines), va="top", fontsize=10, family="monospace")
    axes.text(-1.05, -0.75, f"codes of the levels (over {levels.denominator})", fontsize=8)
    axes.set(xlim=(-1.05, 1.05), ylim=(-0.9, 2.3), yticks=[])
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("level = weight / alpha")
    return figure
