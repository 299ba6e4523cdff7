"""Places of values: none overlaps another that is still needed, and what may be in place is."""

import random

import pytest

from apot_lit.export.workspace import ALIGNMENT, Need, plan_workspace


def living(needs):
    """By step the values that must be there: those it computes or reads, or that a later one reads."""
    last = {need.name: index for index, need in enumerate(needs)}
    last |= {name: index for index, need in enumerate(needs) for name in need.inputs}
    return [
        {need.name for first, need in enumerate(needs) if first <= index <= last[need.name]}
        for index in range(len(needs))
    ]


def random_needs(seed):
    g = random.Random(seed)
    needs = []
    for index in range(g.randint(1, 25)):
        names = [need.name for need in needs]
        inputs = tuple(g.sample(names[-4:], min(len(names), g.randint(0, 2)))) or ("pixels",)
        needs.append(Need(f"v{index}", g.randint(0, 300), inputs, g.random() < 0.4))
    return needs


@pytest.mark.parametrize("seed", range(100))
def test_values_that_live_at_once_do_not_overlap(seed):
    needs = random_needs(seed)
    offsets, total = plan_workspace(needs)
    by_name = {need.name: need for need in needs}
    for index, alive in enumerate(living(needs)):
        computed = needs[index]
        for a in alive:
            assert offsets[a] % ALIGNMENT == 0
            assert offsets[a] + by_name[a].size <= total
            for b in alive - {a}:
                apart = offsets[a] + by_name[a].size <= offsets[b] or offsets[b] + by_name[b].size <= offsets[a]
                empty = not by_name[a].size or not by_name[b].size
                # Only what is read for the last time may give its place to what is computed, from the same begin on.
                replaced = computed.is_in_place and computed.name in (a, b) and {a, b} & set(computed.inputs)
                assert apart or empty or (replaced and offsets[a] == offsets[b])


def test_a_chain_in_place_takes_the_room_of_its_first_value():
    needs = [Need("a", 160, ("pixels",), False), Need("b", 160, ("a",), True), Need("c", 80, ("b",), True)]
    assert plan_workspace(needs) == ({"a": 0, "b": 0, "c": 0}, 160)


def test_a_value_that_is_read_later_keeps_its_place():
    needs = [Need("a", 160, ("pixels",), False), Need("b", 160, ("a",), True), Need("c", 160, ("a", "b"), True)]
    offsets, total = plan_workspace(needs)
    assert total == 320
    assert offsets["a"] != offsets["b"]
    assert offsets["c"] == offsets["a"]


def test_a_value_does_not_take_the_place_of_a_smaller_one():
    needs = [Need("a", 80, ("pixels",), False), Need("b", 160, ("a",), True)]
    assert plan_workspace(needs)[1] == 240
