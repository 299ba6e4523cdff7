"""What the network of integers gets right, by the bits of its stream and by the run that a checkpoint is of."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from statistics import mean
from typing import Any, NamedTuple

from apot_lit.report.tables import Table
from apot_lit.runs.protocol import OWN_CALLBACKS, SCHEME_NAMES, Row, callbacks_of, row
from apot_lit.runs.text import counted, percent

_SIMULATION = f"{OWN_CALLBACKS}SimulatedIntegers"


class Source(NamedTuple):
    """Which checkpoint of which run was evaluated.

    Attributes:
        network: its row in other tables.
        stream_bit: of the stream that the last epochs of the run simulated, None for a run in floats. The best
            checkpoint of such a run may be of an epoch before these; the last one never is.
        seed: its seed.
        checkpoint: name of the file: best or last.
    """

    network: Row
    stream_bit: int | None
    seed: int
    checkpoint: str


def integer_tables(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """A table with a row for each checkpoint, and what a run that simulates the stream changes on average.

    Args:
        evaluations: contents of files that ``evaluate.py`` wrote, in floats and in integers.
    """
    found: dict[Source, dict[int | None, Mapping[str, Any]]] = defaultdict(dict)
    for evaluation in evaluations:
        found[_source(evaluation)][_stream(evaluation)] = evaluation
    # By network, checkpoint and seed, the run in floats first.
    order = sorted(found, key=lambda one: (one.network, one.checkpoint, one.seed, one.stream_bit or 0))
    streams = sorted({bit for columns in found.values() for bit in columns if bit is not None}, reverse=True)
    rows = []
    for one in order:
        cells = [_cell(found[one].get(bit)) for bit in (None, *streams)]
        rows.append([_name(one.network), one.checkpoint, str(one.seed), _run(one), *cells])
    headers = ["Network", "Checkpoint", "Seed", "Run", "Floats", *(f"{bit} bits" for bit in streams)]
    machines = sorted({evaluation["hardware"]["cpu"] for evaluation in evaluations})
    parts = [Table("integers", headers, rows).markdown(), *_gains(found)]
    return "\n\n".join([*parts, f"Evaluated on {', '.join(machines)}."])


def _source(evaluation: Mapping[str, Any]) -> Source:
    config = evaluation["config"]
    simulated = [options for options in callbacks_of(config).values() if options["_target_"] == _SIMULATION]
    bit = simulated[0]["stream_bit"] if simulated else None
    return Source(row(config), bit, config["seed"], PurePath(evaluation["ckpt_path"]).stem)


def _stream(evaluation: Mapping[str, Any]) -> int | None:
    return evaluation["integer"]["stream_bit"] if evaluation["arithmetic"] == "integer" else None


def _name(network: Row) -> str:
    return f"{network.model}, {network.bit} bits, {SCHEME_NAMES[network.scheme]}"


def _run(source: Source) -> str:
    return "floats" if source.stream_bit is None else f"simulates {source.stream_bit} bits"


def _cell(evaluation: Mapping[str, Any] | None) -> str:
    if evaluation is None:
        return "-"
    differing = f" ({evaluation['integer']['differing_predictions']})" if "integer" in evaluation else ""
    return f"{percent(evaluation['accuracy'])}{differing}"


def _gains(found: Mapping[Source, Mapping[int | None, Mapping[str, Any]]]) -> list[str]:
    """A sentence for each kind of checkpoint of runs of both kinds, over the seeds that both have."""
    pairs: dict[tuple[Row, str, int], list[Sequence[Mapping[str, Any]]]] = defaultdict(list)
    for one, columns in found.items():
        before = found.get(one._replace(stream_bit=None), {})
        bit = one.stream_bit
        if bit is not None and bit in columns and {None, bit} <= before.keys():
            pairs[one.network, one.checkpoint, bit].append((before[None], before[bit], columns[bit]))
    return [
        f"{_name(network)}, {checkpoint} checkpoint, mean of {counted(len(triples), 'seed')}: {_mean(triples, 0)} in "
        f"floats; with a stream of {bit} bits {_mean(triples, 1)} of runs in floats, {_mean(triples, 2)} of runs that "
        "simulate it."
        for (network, checkpoint, bit), triples in sorted(pairs.items())
    ]


def _mean(triples: Sequence[Sequence[Mapping[str, Any]]], which: int) -> str:
    accuracy = mean(triple[which]["accuracy"] for triple in triples)
    loss = mean(triple[which]["loss"] for triple in triples)
    return f"{percent(accuracy)} (loss {loss:.4f})"
