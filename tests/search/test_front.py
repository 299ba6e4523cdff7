"""Front and choice, against their definitions by brute force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apot_lit.errors import UserError
from apot_lit.search.front import FAILED, FINISHED, STOPPED, Point, choose, pareto_front

SMALL = st.integers(0, 6)


def point(trial, cost, accuracy, state=FINISHED):
    return Point(trial, state, cost, accuracy, 3, {}, f"{trial:04d}")


@given(st.lists(st.tuples(SMALL, SMALL, st.sampled_from([FINISHED, STOPPED])), max_size=12))
def test_the_front_is_what_nothing_dominates(values):
    found = [point(trial, cost, accuracy / 10, state) for trial, (cost, accuracy, state) in enumerate(values)]
    finished = [one for one in found if one.state == FINISHED]

    def dominated(one):
        return any(
            other.cost <= one.cost
            and other.accuracy >= one.accuracy
            and (other.cost, other.accuracy) != (one.cost, one.accuracy)
            for other in finished
        )

    wanted = {(one.cost, one.accuracy) for one in finished if not dominated(one)}
    front = pareto_front(found)
    assert [(one.cost, one.accuracy) for one in front] == sorted(wanted)
    for one in front:
        same = [other.trial for other in finished if (other.cost, other.accuracy) == (one.cost, one.accuracy)]
        assert one.trial == min(same)


def test_a_failed_trial_is_no_point_of_the_front():
    assert pareto_front([point(0, 1, None, FAILED), point(1, 2, 0.5)]) == [point(1, 2, 0.5)]


def test_the_knee_is_farthest_above_the_line_between_the_ends():
    # Scaled: (0, 0), (1/4, 3/4), (1/2, 7/8), (1, 1): heights 0, 1/2, 3/8, 0.
    front = [point(0, 100, 0.90), point(1, 200, 0.96), point(2, 300, 0.97), point(3, 500, 0.98)]
    assert choose(front, None).trial == 1


@pytest.mark.parametrize(("count", "chosen"), [(1, 0), (2, 0)])
def test_of_one_or_two_points_the_cheapest_is_the_knee(count, chosen):
    assert choose([point(0, 1, 0.5), point(1, 2, 0.6)][:count], None).trial == chosen


def test_of_equal_heights_the_cheapest():
    assert choose([point(0, 0, 0.0), point(1, 1, 0.5), point(2, 2, 0.75), point(3, 4, 1.0)], None).trial == 1


def test_the_best_within_a_cost():
    front = [point(0, 100, 0.90), point(1, 200, 0.96), point(2, 300, 0.97)]
    assert [choose(front, cost).trial for cost in (100, 199, 200, 1e9)] == [0, 0, 1, 2]
    with pytest.raises(UserError, match=r"search\.max_cost=99: the cheapest finished trial costs 100"):
        choose(front, 99)
