"""Which layers share a bit width in a search: each by itself, those of a block or stage, or those of a pattern."""

from collections.abc import Sequence

from torch import nn

from apot_lit.errors import UserError
from apot_lit.quant import quant_layers
from apot_lit.quant.per_layer import near_unmatched

_DEPTHS = {"stages": 1, "blocks": 2}


def layer_groups(network: nn.Module, groups: str | Sequence[str]) -> list[str]:
    """The patterns of names that each get a bit width of their own.

    ``layers``: every quantised layer but the first and the last, which keep their bits. ``blocks`` and ``stages``: the
    same layers by the first two and the first part of their names, ``layer1.0.*`` and ``layer1.*``, whatever part all
    names have in common left out of the count.

    Args:
        network: quantised.
        groups: one of these words, or patterns as `fnmatch` has them; these may name the first and last layer too.

    Raises:
        UserError: for a pattern that no layer has, or a network without layers between the first and the last.
    """
    names = [name for name, _ in quant_layers(network)]
    if not isinstance(groups, str):
        for pattern in groups:
            if near := near_unmatched(pattern, names):
                raise UserError(f"search.groups: {pattern} matches no layer; near it are {', '.join(near)}")
        return list(groups)
    inner = names[1:-1]
    if not inner:
        raise UserError(f"search.groups={groups}: the network has no layer between its first and its last")
    if groups == "layers":
        return inner
    parts = [name.split(".") for name in inner]
    shared = next(depth for depth in range(len(parts[0])) if len({tuple(part[: depth + 1]) for part in parts}) > 1)
    heads = [(part, part[: shared + _DEPTHS[groups]]) for part in parts]
    return list(dict.fromkeys(".".join(part if head == part else [*head, "*"]) for part, head in heads))
