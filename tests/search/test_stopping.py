"""When a trial is stopped."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from apot_lit.search.stopping import FarBehind, StopFarBehind, bars

CURVES = st.lists(st.tuples(st.integers(0, 5), st.lists(st.none() | st.integers(0, 9), max_size=4)), max_size=6)


@given(CURVES, st.integers(0, 5))
def test_the_bar_is_the_best_of_those_that_cost_no_more_less_the_margin(finished, cost):
    needed = bars(finished, cost, 0.5)
    for epoch in range(5):
        rivals = [curve[epoch] for price, curve in finished if price <= cost and len(curve) > epoch]
        rivals = [value for value in rivals if value is not None]
        for accuracy in range(10):
            behind = any(rival - accuracy > 0.5 for rival in rivals)
            assert (epoch < len(needed) and accuracy < needed[epoch]) == behind


def epoch_end(callback, epoch, accuracy, max_epochs=3):
    metrics = {} if accuracy is None else {"val/acc": torch.tensor(accuracy)}
    trainer = SimpleNamespace(callback_metrics=metrics, current_epoch=epoch, max_epochs=max_epochs)
    callback.on_train_epoch_end(trainer, None)


def test_a_training_below_its_bar_ends_but_not_after_its_last_epoch():
    callback = StopFarBehind([0.8, 0.9, 0.95])
    epoch_end(callback, 0, 0.81)
    epoch_end(callback, 1, None)
    epoch_end(callback, 2, 0.5)
    with pytest.raises(FarBehind) as stopped:
        epoch_end(callback, 1, 0.875)
    assert (stopped.value.epochs, stopped.value.accuracy) == (2, 0.875)
    assert str(stopped.value) == "stopped after epoch 2: 87.50 % in validation, below the bar of 90.00 %"


def test_epochs_that_nothing_is_known_of_have_no_bar():
    callback = StopFarBehind(bars([(1.0, [0.9])], 2.0, 0.01))
    epoch_end(callback, 1, 0.1)
    with pytest.raises(FarBehind):
        epoch_end(callback, 0, 0.1)
    epoch_end(StopFarBehind(bars([(1.0, [0.9])], 0.5, 0.01)), 0, 0.1)
