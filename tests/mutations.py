"""Data that is wrong somewhere, chosen by a seed."""

import contextlib
import copy
from random import Random

DEEP = []
for _ in range(100):
    DEEP = [DEEP]
WIDE = []
for _ in range(30):
    WIDE = [WIDE, WIDE]  # small in a pickle, 2^30 lists when walked

PLAIN = [
    *(None, True, False, 0, -1, 1, 7, 10**6, 2**62, -(2**63), 10**30, 10**400, 0.5, -0.5, 1e300, 5e-324),
    *(float("nan"), float("inf"), "", "x", "two\nlines", "$\\frac$", "../../up", "\0", "\ud800", "ü" * 300, "9" * 5000),
    *(
        [],
        [None],
        [[]],
        [1, "x"],
        [[1, 2], [3]],
        {},
        {"": None},
        {"name": []},
        {"_target_": 3},
        {"a": {"b": [1]}},
        DEEP,
    ),
]


def places(value, path=()):
    """Paths of everything in nested containers."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def mutated(original, random: Random, nasty, within=((),)):
    """A copy of which one to three nodes below one of the paths `within` are replaced, removed, repeated or renamed."""
    content = copy.deepcopy(original)
    everywhere = list(places(original))
    for _ in range(random.choice([1, 1, 2, 3])):
        prefix = random.choice(list(within))
        depth = random.choice([1, 2, 3, 4, 5, 9])  # else nearly all would be leaves
        found = [path for path in everywhere if path[: len(prefix)] == prefix]
        path = random.choice([path for path in found if len(path) <= depth] or found)
        with contextlib.suppress(KeyError, IndexError, TypeError):  # an earlier change took the place away
            change(content, path, random, nasty)
    return content


def change(content, path, random: Random, nasty):
    """Changes what lies at one path, in place."""
    for key in path[:-1]:
        content = content[key] if isinstance(content, dict | list) else None
    if not isinstance(content, dict | list):
        return
    what = random.random()
    if what < 0.75:
        content[path[-1]] = random.choice(nasty)
    elif isinstance(content, list):
        content.append(content[path[-1]])
    elif what < 0.9:
        del content[path[-1]]
    else:
        content[random.choice(["other", "", "module.x", "name"])] = content.pop(path[-1])


def damaged(content: bytes, random: Random) -> bytes:
    """The bytes, cut off, changed in some places or overwritten."""
    kind = random.choice(["cut", "flip", "zero", "noise"])
    start = random.randrange(len(content))
    if kind == "cut":
        return content[:start]
    if kind == "noise":
        return random.randbytes(random.choice([0, 1, 2, 10, 1000, 100_000]))
    changed = bytearray(content)
    for _ in range(random.choice([1, 10, 100])):
        position = random.choice([random.randrange(len(changed)), min(start + random.randrange(64), len(changed) - 1)])
        changed[position] = 0 if kind == "zero" else random.randrange(256)
    return bytes(changed)
