"""Images per second in evaluation."""

from collections.abc import Callable
from typing import Any

import torch

from apot_lit.benchmark.setting import STANDARD_BIT, Setting
from apot_lit.benchmark.timing import ratio, summary
from apot_lit.quant.spec import FULL_PRECISION


def measure_evaluation(setting: Setting) -> list[dict[str, Any]]:
    """Times the forward pass of the first configured network over test images, without gradients.

    Returns:
        One row for float32 and one for APoT at 5 bits: ``ms`` of the whole pass, ``images_per_second``, and the
        ``ratio`` of its time to that of float32.
    """
    config, model = setting.config, setting.config["models"][0]
    count = config["evaluation_images"]
    print(f"evaluation of {model}: {count} images", flush=True)
    batches = [images for images, _labels in setting.loader("test", count, config["data"]["eval_batch_size"])]

    def forward(scheme: str) -> Callable[[], None]:
        network = setting.network(model, scheme).eval()

        def run() -> None:
            for images in batches:
                network(images)

        return run

    with torch.no_grad():
        times = setting.timer.interleaved({scheme: forward(scheme) for scheme in ("float", "apot")})
    return [
        {
            "model": model,
            "scheme": scheme,
            "bit": FULL_PRECISION if scheme == "float" else STANDARD_BIT,
            "images": count,
            "ms": summary(values),
            "images_per_second": 1000 * count / summary(values)["median"],
            "ratio": ratio(values, times["float"]),
        }
        for scheme, values in times.items()
    ]
