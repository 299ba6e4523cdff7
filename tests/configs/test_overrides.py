"""Values on the command line: Hydra reads back what was written, and a plain path stays as a person would type it."""

import random
import shlex
import string

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from apot_lit.config.overrides import override

VALUES = ["/tmp/run_1", "outputs/2026-01-31_12-00-00/last.ckpt", "1/2", "/1e5/3.", "null/true", "null", "1", "a b",
          "it's", "\\'", "a=b,(c)", "${x}", "\\${x}", "/tmp/ü", "end\\", "[1]", "{a: 1}", "..", "/",
          "a/b#c"]  # fmt: skip


def read_back(text):
    """What a configuration holds after this override."""
    parsed = OverridesParser.create().parse_override(text).value()
    return OmegaConf.create({"key": parsed}).key


@pytest.mark.parametrize("value", VALUES)
def test_every_value_is_read_back_as_text(value):
    assert read_back(override("key", value)) == value


def test_plain_paths_are_not_quoted():
    letters = string.ascii_letters + string.digits + "_.-/"
    for seed in range(200):
        chosen = random.Random(seed)
        value = "/" + "".join(chosen.choices(letters, k=chosen.randint(0, 12)))
        written = override("key", value)
        assert shlex.join([written]) == written == f"key={value}"
        assert read_back(written) == value
