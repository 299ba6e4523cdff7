"""What is offered to whoever chooses a file of configuration."""

import pytest

from apot_lit.config.choices import choices
from apot_lit.installed import CONF

MODELS = [path.stem for path in (CONF / "model").glob("*.yaml")] + ["resnet_schema", "foreign_schema"]


def test_models_are_whole_and_in_the_order_of_their_depth() -> None:
    ours = [f"resnet{depth}" for depth in (10, 14, 18, 34, 50, 101, 152)]
    assert choices("model", MODELS) == ["custom", *ours, "timm", "torchvision"]
    assert choices("model", MODELS, others=False) == ours


def test_files_of_a_users_own_directory_are_offered_too() -> None:
    assert "own" in choices("model", [*MODELS, "own"])


@pytest.mark.parametrize("parts", [False, True])
def test_parts_of_callbacks_are_offered_on_demand(parts: bool) -> None:
    found = choices("callbacks", [path.stem for path in (CONF / "callbacks").glob("*.yaml")], parts=parts)
    assert {"best", "default"} <= set(found)
    assert ("integer" in found) == parts
