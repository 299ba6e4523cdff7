"""A classifier that computes in integers, and what distinguishes it from the one in floats."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, fields
from typing import Any

from torch import Tensor, nn

from apot_lit.data.sample import training_sample
from apot_lit.evaluation.engines import Engine, EngineClassifier
from apot_lit.graph.steps import Add, Step
from apot_lit.integer.calibration import CALIBRATION_IMAGES
from apot_lit.integer.conversion import STREAM_BIT, to_integers
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import IntegerNetwork, Rescale
from apot_lit.integer.widths import Width, bit_widths
from apot_lit.integer.workload import Operations, count_operations, working_bytes
from apot_lit.runs.text import counted, text_table
from apot_lit.stored.trained import Trained


class IntegerClassifier(nn.Module):
    """Classifies by a network of integers, and counts how often the float network would have said something else.

    Args:
        network: the integers.
        floats: the network that they come from.
        engine: runs the integers; None for the reference executor.

    Attributes:
        differing: images of which the two predict different classes, so far.
        saturated: by name of the value, how often it left the stream, so far; None with an engine, which doesn't tell.

    Shape:
        uint8 pixels ``[N, C, H, W]`` to logits ``[N, classes]``: float64, which holds the integers in their order.
    """

    def __init__(self, network: IntegerNetwork, floats: nn.Module, engine: Engine | None = None) -> None:
        super().__init__()
        self.integers = network
        self.floats = floats
        self.differing = 0
        self.saturated: Counter[str] | None = Counter() if engine is None else None
        self._engine = None if engine is None else EngineClassifier(engine)
        self._executor: Executor | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits of the integers, times what 1 in them stands for."""
        logits: Tensor = self._execute(images) if self._engine is None else self._engine(images)
        self.differing += int((self.floats(images).argmax(1) != logits.argmax(1)).sum())
        return logits

    def _execute(self, images: Tensor) -> Tensor:
        if self._executor is None or self._executor.device != images.device:
            self._executor = Executor(self.integers, images.device, self._watch)
        return self._executor(images).double() * self.integers.logit_scale

    def _watch(self, step: Step, value: Tensor) -> None:
        if self.saturated is not None and isinstance(step, Rescale | Add):
            within = value.clamp(-self.integers.largest - 1, self.integers.largest)
            self.saturated[step.output] += int((value != within).sum())


def network_of_integers(trained: Trained, data: Mapping[str, Any], stream_bit: int | None) -> IntegerNetwork:
    """The network of integers that a file holds, or that its network is converted to; batch norms are not folded.

    Args:
        trained: what a file holds.
        data: section of the configuration that says where the images are: 1,000 of training choose the stream.
        stream_bit: bits of the stream; None for those of the file, or else 16.

    Raises:
        UserError: naming a layer that can't be integers.
    """
    if trained.integers is not None and stream_bit in (None, trained.integers.stream_bit):
        return trained.integers
    images = training_sample({**trained.config["data"], **data}, CALIBRATION_IMAGES)
    return to_integers(trained.network.eval(), images, stream_bit or STREAM_BIT, fold=False)


def integer_facts(classifier: IntegerClassifier, total: Callable[[int], int]) -> dict[str, Any]:
    """What an evaluation says of its integers, as plain containers for JSON.

    Args:
        classifier: after the evaluation.
        total: adds up a count over processes.
    """
    network, saturated = classifier.integers, classifier.saturated
    return {
        "stream_bit": network.stream_bit,
        "fraction": network.fraction,
        "logit_scale": network.logit_scale,
        "differing_predictions": total(classifier.differing),
        "saturated": None if saturated is None else {name: total(count) for name, count in saturated.items()},
        "widths": [asdict(width) for width in bit_widths(network)],
        **operations_facts(network),
    }


def operations_facts(network: IntegerNetwork) -> dict[str, Any]:
    """What each layer does and holds, as plain containers for JSON."""
    operations = [asdict(operations) for operations in count_operations(network)]
    return {"operations": operations, "working_bytes": working_bytes(network)}


def integer_text(facts: dict[str, Any], images: int) -> str:
    """The same for the terminal."""
    rows = [["-" if cell is None else str(cell) for cell in width.values()] for width in facts["widths"]]
    headers = [name.replace("_", " ") for name in Width.__dataclass_fields__]
    if facts["saturated"] is None:
        saturated = "only engine=torch counts them"
    else:
        most = {name: count for name, count in facts["saturated"].items() if count}
        saturated = ", ".join(f"{name} {count:,}" for name, count in most.items()) or "none"
    return (
        f"integers: stream of {facts['stream_bit']} bits, {facts['fraction']} of them fractional; another prediction "
        f"than in floats for {facts['differing_predictions']:,} of {counted(images, 'image')}\n"
        f"values that left the stream: {saturated}\n\n"
        f"{text_table(rows, headers)}"
    )


def operations_text(network: IntegerNetwork) -> str:
    """What each layer does and holds, as a table for the terminal, with totals."""
    rows = [list(astuple(operations)) for operations in count_operations(network)]
    rows.append(["total", *(sum(column) for column in list(zip(*rows, strict=True))[1:])])
    headers = [field.name.replace("_", " ") for field in fields(Operations)]
    table = text_table([[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows], headers)
    return f"{table}\n\nworking memory: {working_bytes(network):,} bytes"
