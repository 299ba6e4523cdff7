"""Time of the projection onto levels alone, against other ways to the same codes and against copying memory."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from apot_lit.benchmark.setting import STANDARD_BIT, Setting
from apot_lit.benchmark.timing import ratio, summary
from apot_lit.quant.functional import quantize_codes
from apot_lit.quant.levels import LevelSet, level_set
from apot_lit.quant.projection import half_grid_table, projection_unit

ALPHA = 6.0
COPY, DISTANCE = "copy", "distance_matrix"
_TIE = 1e-3  # in half-grid steps: closer than this to a midpoint, rounding of float32 decides

Projection = Callable[[Tensor], Tensor]


def variants(levels: LevelSet, device: torch.device) -> dict[str, Projection]:
    """Ways to project activations onto codes.

    Args:
        levels: level set of the activations, one with a table.
        device: where the activations lie.

    Returns:
        Name to function from activations to float32 codes: ``half_grid`` is the quantisers', ``distance_matrix``
        compares with every level, ``bucketize`` searches among the midpoints.
    """
    unit = projection_unit(levels)
    table = half_grid_table(levels, signed=False)
    table = None if table is None else table.to(device)
    codes = torch.tensor(levels.codes, dtype=torch.float32, device=device)
    values = codes * (ALPHA / unit)
    alpha = torch.tensor(ALPHA, device=device)
    midpoints = (codes[1:] + codes[:-1]) * (ALPHA / (2 * unit))

    def half_grid(x: Tensor) -> Tensor:
        return quantize_codes(x, alpha, levels, signed=False, table=table)[0]

    def distance_matrix(x: Tensor) -> Tensor:
        return codes[(x.unsqueeze(-1) - values).abs().argmin(-1)]

    def bucketize(x: Tensor) -> Tensor:
        return codes[torch.bucketize(x, midpoints, right=True)]

    return {"half_grid": half_grid, DISTANCE: distance_matrix, "bucketize": bucketize}


def check_agreement(x: Tensor, functions: dict[str, Projection], levels: LevelSet) -> None:
    """Checks that all functions give the same codes, ties aside.

    Raises:
        AssertionError: where they do not; what is slower then does something else.
    """
    half = x * (2 * projection_unit(levels) / ALPHA)
    clear = (half - half.round()).abs() > _TIE
    expected = functions["half_grid"](x)
    for name, function in functions.items():
        differing = int(((function(x) != expected) & clear).sum())
        if differing:
            raise AssertionError(f"projection by {name}: {differing} of {x.numel()} codes differ from half_grid")


def measure_projection(setting: Setting) -> dict[str, Any]:
    """Times the projection of activations onto the APoT levels of 5 bits.

    Returns:
        ``elements``, and in ``rows`` per way its ``ms``, ``to_copy`` (its time in copies of the same memory) and
        ``speedup`` (how many times faster than the distance matrix).
    """
    elements = setting.config["projection_elements"]
    print(f"projection of {elements} activations", flush=True)
    levels = level_set("apot", STANDARD_BIT)
    generator = torch.Generator().manual_seed(setting.config["seed"])
    x = (torch.rand(elements, generator=generator) * 1.25 * ALPHA).to(setting.device)
    functions = variants(levels, setting.device)
    if setting.compile:
        functions["half_grid_compiled"] = torch.compile(functions["half_grid"])
    check_agreement(x, functions, levels)
    calls: dict[str, Callable[[], object]] = {COPY: x.clone}
    calls |= {name: partial(function, x) for name, function in functions.items()}
    with torch.no_grad():
        times = setting.timer.interleaved(calls)
    rows = [
        {
            "name": name,
            "ms": summary(values),
            "to_copy": ratio(values, times[COPY]),
            "speedup": ratio(times[DISTANCE], values),
        }
        for name, values in times.items()
    ]
    return {"elements": elements, "bit": STANDARD_BIT, "rows": rows}
