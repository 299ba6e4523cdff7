"""Reads the file that W&B writes offline: records of protocol buffers in LevelDB's log format."""

import json

BLOCK = 32 * 1024
_HEADER = 7  # of the file: ":W&B", a number, a version; of a piece: checksum, length, kind
_LAST_PIECES = (1, 4)  # kinds: whole, first, middle, last


def records(path):
    """Every record of the file, parsed."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = path.read_bytes(), _HEADER, b""
    assert data.startswith(b":W&B")
    while place + _HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < _HEADER:  # no piece begins here
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        if kind == 0:
            place += left
            continue
        whole += data[place + _HEADER : place + _HEADER + length]
        place += _HEADER + length
        if kind in _LAST_PIECES:
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def contents(path):
    """Options, tags and history of the run: a dictionary, a list, and dictionaries of what was logged together."""
    options, tags, history = {}, [], []
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "config":
            options |= {item.key: json.loads(item.value_json) for item in record.config.update}
        elif kind == "run" and record.run.tags:
            tags = list(record.run.tags)
        elif kind == "history":
            items = {"|".join(one.nested_key) or one.key: json.loads(one.value_json) for one in record.history.item}
            history.append(items)
    return options, tags, history
