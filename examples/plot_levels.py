"""Draws the levels that weights and activations can take: APoT, plain powers of two and uniform, 3 to 5 bits.

    python examples/plot_levels.py [--output DIRECTORY]

Writes levels.png: a row for each scheme and number of bits, a tick for each level from 0 to 1. APoT has many levels
near 0, where most weights lie, as powers of two have, and still some near 1, as uniform levels have. The shifts
that make a level are printed for 4 bits. Takes a few seconds.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # writes files, needs no screen

from matplotlib import pyplot

from apot_lit.quant import LevelSet, level_set

BITS = (3, 4, 5)
COLOURS = {"uniform": "tab:gray", "pot": "tab:orange", "apot": "tab:blue"}


def draw(path: Path) -> None:
    """Draws all level sets into one file."""
    figure, axes = pyplot.subplots(len(BITS), 1, figsize=(9, 5), sharex=True, layout="constrained")
    for axis, bits in zip(axes, BITS, strict=True):
        for row, scheme in enumerate(COLOURS):
            levels = [float(level) for level in level_set(scheme, bits).levels]
            axis.vlines(levels, row + 0.6, row + 1.4, color=COLOURS[scheme])
        axis.set_yticks(range(1, 1 + len(COLOURS)), list(COLOURS))
        axis.set_title(f"{bits} bits: {2**bits} levels", loc="left", fontsize=10)
    axes[-1].set_xlabel("level, as a part of the clipping threshold alpha")
    figure.savefig(path, dpi=120)


def as_shifts(levels: LevelSet) -> str:
    """The level set as sums of one entry of each term; every entry but 0 is a power of two."""
    terms = " + ".join("{" + ", ".join(map(str, term)) + "}" for term in levels.terms)
    return f"({terms}) / {levels.denominator}"


def main() -> None:
    """Draws, and prints what the levels of 4 bits are made of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("outputs/examples"), help="directory of the picture")
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    draw(output / "levels.png")
    for scheme in COLOURS:
        print(f"{scheme:8} {as_shifts(level_set(scheme, 4))}")
    print("written:", output / "levels.png")


if __name__ == "__main__":
    main()
