"""What ``--help`` of a script says: one line for every option, from the schemas that also check them."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from apot_lit.config.choices import choices
from apot_lit.config.registration import SCHEMAS
from apot_lit.config.sections import OPTIMIZER_SCHEMAS, SCHEDULER_SCHEMAS, ModelConfig
from apot_lit.installed import CONF
from apot_lit.quant.ranges import as_written

WIDTH = 100
_Option = tuple[str, str, str]
"""Name, default, meaning."""
EXAMPLES = {
    "train": ("model=resnet18 quant.bit=3 quant.power=0", "experiment=best model=resnet10 quant.bit=2 seed=1",
              "-m quant.bit=2,3,4,5 quant.power=0,1"),
    "evaluate": ("ckpt_path=outputs/train/<run>/checkpoints/best.ckpt",
                 "ckpt_path=outputs/train/<run>/checkpoints/best.ckpt split=val",
                 "ckpt_path=reference.pth model=resnet18 quant.bit=5"),
    "export": ("ckpt_path=outputs/train/<run>/checkpoints/best.ckpt format=onnx",
               "ckpt_path=outputs/train/<run>/checkpoints/best.ckpt format=c output=c",
               "ckpt_path=outputs/train/<run>/checkpoints/best.ckpt format=verify output=n.onnx"),
    "predict": ("ckpt_path=outputs/train/<run>/checkpoints/best.ckpt images=photo.jpg",
                "ckpt_path=network.onnx images=scans invert=true",
                "ckpt_path=network.safetensors images=digits.npy sheets=3"),
    "report": ("", "results_dir=outputs/sweeps", "documents=[README.md]"),
    "benchmark": ("", "benchmark=full", "benchmark=inference"),
    "hardware": ("", "hardware=full bits=[4] targets=[gates]",
                 "ckpt_path=outputs/train/<run>/checkpoints/best.ckpt layer=layer2.0.conv2"),
    "search": ("model=resnet10 experiment=fast", "model=resnet10 search.groups=stages search.cost=operations",
               "search.bits=[] 'search.space={optimizer.lr: {low: 0.01, high: 0.1}}'"),
}  # fmt: skip
_GROUPS = {
    "model": "the network",
    "quant": "levels: sums of powers of two, uniform, plain powers of two, none",
    "data": "the images",
    "optimizer": "the optimizer",
    "scheduler": "how the learning rate changes",
    "trainer": "where it computes",
    "callbacks": "what goes on besides; best: what our recipe needs",
    "logger": "where else metrics go",
    "experiment": "a whole recipe",
    "sweep": "many trainings",
    "debug": "a quick look",
    "benchmark": "what is measured",
    "hardware": "how much is written and measured",
}
_OF = {
    "train": tuple(group for group in _GROUPS if group not in ("benchmark", "hardware")),
    "evaluate": ("model", "trainer"),
    "export": ("model",),
    "predict": ("model",),
    "report": (),
    "hardware": ("hardware", "model"),
    "benchmark": ("benchmark", "optimizer", "scheduler", "callbacks", "logger"),
    "search": tuple(group for group in _GROUPS if group not in ("benchmark", "hardware", "sweep")),
}
_INTERNAL = ("paths",)
_OF_TRAINING = (
    *("compile", "num_sanity_val_steps", "max_epochs", "max_steps", "gradient_clip_val", "accumulate_grad_batches"),
    *("check_val_every_n_epoch", "limit_train_batches", "limit_val_batches", "log_every_n_steps", "detect_anomaly"),
)
_LEFT_OUT = {"evaluate": tuple(f"trainer.{name}" for name in _OF_TRAINING)}
_NAMED = {"optimizer": OPTIMIZER_SCHEMAS, "scheduler": SCHEDULER_SCHEMAS}
_CHOSEN = {"model": ModelConfig}  # sections that have this schema unless another one is chosen
_DEFAULT_WIDTH = 13
_NEEDED = "???"  # also where nothing is chosen for a section yet
_OTHERS = ("trainer.NAME=VALUE", "any other option of Lightning's Trainer")
_FLAGS = (
    ("-m", "run every combination of values given as a=1,2,3"),
    ("--cfg job", "show the configuration and stop"),
    ("hydra.run.dir=DIR", "write there"),
)


def help_text(script: str, program: str | None = None) -> str:
    """Describes the options of a script, with the defaults that its configuration gives them.

    Args:
        script: its name without suffix, a key of `apot_lit.config.registration.SCHEMAS`.
        program: how it is called; None: as a script of a clone.

    Returns:
        Lines of at most `WIDTH` characters.
    """
    program = program or f"python {script}.py"
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        offered = []
        for group in _OF[script]:
            names = choices(group, loader.get_group_options(group), others="experiment" in _OF[script])
            offered.append((f"{group}=", f"{_GROUPS[group]}: {', '.join(names)}"))
        composed = OmegaConf.to_container(compose(script), resolve=False)
    assert isinstance(composed, dict)
    config = {str(key): value for key, value in composed.items()}
    hidden = _LEFT_OUT.get(script, ())
    shown = [
        (title, [option for option in options if option[0] not in hidden])
        for title, options in _sections(SCHEMAS[script], config)
    ]
    sections = [(title, _lines(options)) for title, options in shown]
    sections += [("choices", _columns(offered))] if offered else []
    more = [_OTHERS] if "trainer" in _OF[script] else []
    sections += [
        ("more", _columns([*more, *_FLAGS])),
        ("examples", [f"  {program} {end}".rstrip() for end in EXAMPLES[script]]),
    ]
    blocks = [f"{program} [option=value ...]", *("\n".join([title, *lines]) for title, lines in sections)]
    return "\n\n".join(blocks)


def _sections(schema: Any, config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[_Option]]]:
    """Title and options of a schema and of the sections within it."""
    own: list[_Option] = []
    within: list[tuple[str, list[_Option]]] = []
    hints = get_type_hints(schema)
    for one in fields(schema):
        name = f"{prefix}{one.name}"
        if name in _INTERNAL:
            continue
        value = config.get(one.name, _NEEDED)
        section = next((kind for kind in get_args(hints[one.name]) or [hints[one.name]] if is_dataclass(kind)), None)
        if one.name in _NAMED and isinstance(value, Mapping):
            section = next(kind for kind in _NAMED[one.name] if kind.name == value["name"])
        section = _CHOSEN.get(one.name, section)
        if section is not None:
            within += _sections(section, value if isinstance(value, Mapping) else {}, f"{name}.")
        elif "meaning" in one.metadata:
            own.append((name, _as_default(value), one.metadata["meaning"]))
    if own:
        yield prefix.rstrip(".") or "options", own
    yield from within


def _as_default(value: Any) -> str:
    """A default as it is shown: short; nothing where a value is needed or a choice of files gives it."""
    if value is None or value == _NEEDED:
        return "null" if value is None else ""
    text = f"{value:.4g}" if isinstance(value, float) else as_written(value).replace(" ", "").replace("'", "")
    shown = "" if "${" in text else text
    return shown if len(shown) <= _DEFAULT_WIDTH else f"{shown[: _DEFAULT_WIDTH - 3]}..."


def _lines(options: Sequence[_Option]) -> list[str]:
    width = max(len(name) for name, _, _ in options)
    return [f"  {name:<{width}}  {value:<{_DEFAULT_WIDTH}}  {meaning}" for name, value, meaning in options]


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Two columns, the second one broken where it does not fit."""
    width = max(len(name) for name, _ in rows)
    lines = []
    for name, text in rows:
        broken = textwrap.wrap(text, WIDTH - width - 4, break_on_hyphens=False)
        lines += [
            f"  {first:<{width}}  {part}" for first, part in zip([name, *[""] * len(broken)], broken, strict=False)
        ]
    return lines
