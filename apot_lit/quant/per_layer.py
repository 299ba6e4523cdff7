"""Options of single layers, by patterns of their names: validated once, immutable afterwards."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from apot_lit.quant.ranges import Range, check

_NEAR = 3
_BITS = ("weight_bit", "act_bit")


class Overrides(Mapping[str, Mapping[str, Any]]):
    """Patterns as `fnmatch` has them, each with options of the layers whose names it matches; a later one wins.

    Args:
        options: options by pattern.
        allowed: what each option may be.

    Raises:
        ValueError: for an unknown option or one out of its range; one line that begins with ``overrides.<pattern>``.

    Examples:
        >>> from apot_lit.quant.ranges import Integer
        >>> rules = Overrides({"layer*": {"bit": 4}, "*.conv2": {"bit": 8}}, {"bit": Integer(2, 8)})
        >>> rules.of_layer("layer1.0.conv2")
        {'weight_bit': 8, 'act_bit': 8}
        >>> rules.refuse_unused(["conv1", "layer1.0.conv1"])
        Traceback (most recent call last):
            ...
        ValueError: overrides.*.conv2: matches no layer; near it are conv1, layer1.0.conv1
    """

    def __init__(
        self, options: Mapping[str, Mapping[str, Any]] | None = None, allowed: Mapping[str, Range] | None = None
    ) -> None:
        if not isinstance(options or {}, Mapping):
            raise ValueError(f"overrides={options}: must be options by patterns of names, as {{layer1.*: {{bit: 8}}}}")
        for pattern, given in (options or {}).items():
            _check(str(pattern), given, allowed or {})
        self._entries = tuple((str(pattern), tuple(given.items())) for pattern, given in (options or {}).items())

    def __getitem__(self, pattern: str) -> Mapping[str, Any]:
        return dict(dict(self._entries)[pattern])

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Overrides) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(self._entries)

    def __repr__(self) -> str:
        return repr(self.plain())

    def plain(self) -> dict[str, dict[str, Any]]:
        """The same as plain dictionaries, as configurations and checkpoints have it."""
        return {pattern: dict(given) for pattern, given in self._entries}

    def of_layer(self, name: str) -> dict[str, Any]:
        """The options of a layer; ``bit`` is that of weights and activations where the same pattern gives none."""
        found: dict[str, Any] = {}
        for pattern, given in self._entries:
            if fnmatchcase(name, pattern):
                options = dict(given)
                bit = options.pop("bit", None)
                found |= {} if bit is None else dict.fromkeys(_BITS, bit)
                found |= options
        return found

    def refuse_unused(self, names: Iterable[str]) -> None:
        """Refuses a pattern that matches none of the layers.

        Raises:
            ValueError: naming the layers near it.
        """
        names = list(names)
        for pattern in self:
            if near := near_unmatched(pattern, names):
                raise ValueError(f"overrides.{pattern}: matches no layer; near it are {', '.join(near)}")


def near_unmatched(pattern: str, names: Sequence[str]) -> list[str]:
    """The names near a pattern that matches none of them; no name if it matches one."""
    if any(fnmatchcase(name, pattern) for name in names):
        return []
    return sorted(names, key=lambda name: -SequenceMatcher(None, pattern, name).ratio())[:_NEAR]


def _check(pattern: str, given: Any, allowed: Mapping[str, Range]) -> None:
    place = f"overrides.{pattern}"
    if not isinstance(given, Mapping):
        raise ValueError(f"{place}={given}: must be options of layers, as {{bit: 8}}")
    for option, value in given.items():
        if option not in allowed:
            close = get_close_matches(str(option), allowed, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ValueError(f"{place}.{option}: unknown option{hint}; a layer has {', '.join(allowed)}")
        check(f"{place}.{option}", value, allowed[option])
