"""What the network of integers gets right, by the bits of its stream and by how the network was trained."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from apot_lit.report.tables import Table
from apot_lit.runs.protocol import OWN_CALLBACKS, SCHEME_NAMES, Row, callbacks_of, row
from apot_lit.runs.text import counted, percent

_SIMULATION = f"{OWN_CALLBACKS}SimulatedIntegers"


class Training(NamedTuple):
    """How a network was trained.

    Attributes:
        network: its row in other tables.
        stream_bit: of the stream that its last epochs simulated, None for training in floats.
        seed: its seed.
    """

    network: Row
    stream_bit: int | None
    seed: int


def integer_tables(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """A table with a row for each training, and what training with the stream changes on average.

    Args:
        evaluations: contents of files that ``evaluate.py`` wrote, in floats and in integers.
    """
    found: dict[Training, dict[int | None, Mapping[str, Any]]] = defaultdict(dict)
    for evaluation in evaluations:
        found[_training(evaluation["config"])][_stream(evaluation)] = evaluation
    # By network and seed, training in floats first.
    order = sorted(found, key=lambda one: (one.network.model, -one.network.bit, one.seed, one.stream_bit or 0))
    streams = sorted({bit for columns in found.values() for bit in columns if bit is not None}, reverse=True)
    rows = [
        [_name(one.network), _trained(one), str(one.seed), *(_cell(found[one].get(bit)) for bit in (None, *streams))]
        for one in order
    ]
    headers = ["Network", "Trained in", "Seed", "Floats", *(f"{bit} bits" for bit in streams)]
    machines = sorted({evaluation["hardware"]["cpu"] for evaluation in evaluations})
    parts = [Table("integers", headers, rows).markdown(), *_gains(found)]
    return "\n\n".join([*parts, f"Evaluated on {', '.join(machines)}."])


def _training(config: Mapping[str, Any]) -> Training:
    simulated = [options for options in callbacks_of(config).values() if options["_target_"] == _SIMULATION]
    return Training(row(config), simulated[0]["stream_bit"] if simulated else None, config["seed"])


def _stream(evaluation: Mapping[str, Any]) -> int | None:
    return evaluation["integer"]["stream_bit"] if evaluation["arithmetic"] == "integer" else None


def _name(network: Row) -> str:
    return f"{network.model}, {network.bit} bits, {SCHEME_NAMES[network.scheme]}"


def _trained(training: Training) -> str:
    return "floats" if training.stream_bit is None else f"stream of {training.stream_bit} bits"


def _cell(evaluation: Mapping[str, Any] | None) -> str:
    if evaluation is None:
        return "-"
    differing = f" ({evaluation['integer']['differing_predictions']})" if "integer" in evaluation else ""
    return f"{percent(evaluation['accuracy'])}{differing}"


def _gains(found: Mapping[Training, Mapping[int | None, Mapping[str, Any]]]) -> list[str]:
    """A sentence for each network and width that was trained both ways, over the seeds that both have."""
    pairs: dict[tuple[Row, int], list[Sequence[Mapping[str, Any]]]] = defaultdict(list)
    for one, columns in found.items():
        before = found.get(one._replace(stream_bit=None), {})
        bit = one.stream_bit
        if bit is not None and bit in columns and {None, bit} <= before.keys():
            pairs[one.network, bit].append((before[None], before[bit], columns[bit]))
    return [
        f"{_name(network)}, mean of {counted(len(triples), 'seed')}: {_mean(triples, 0)} in floats; with a stream of "
        f"{bit} bits {_mean(triples, 1)} trained in floats, {_mean(triples, 2)} trained with the stream."
        for (network, bit), triples in sorted(pairs.items(), key=lambda pair: -pair[0][0].bit)
    ]


def _mean(triples: Sequence[Sequence[Mapping[str, Any]]], which: int) -> str:
    accuracy = mean(triple[which]["accuracy"] for triple in triples)
    loss = mean(triple[which]["loss"] for triple in triples)
    return f"{percent(accuracy)} (loss {loss:.4f})"
