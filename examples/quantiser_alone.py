"""A quantiser alone, on a handful of numbers: its levels, codes and scale, and the gradient of its threshold.

    python examples/quantiser_alone.py

An activation x becomes alpha * (the level nearest to x / alpha), and levels are whole numbers over one denominator.
Everything that is printed can be checked by hand; it takes as long as torch takes to load.
"""

import torch

from apot_lit.quant import ActivationQuantizer, level_set


def main() -> None:
    """Quantises some numbers and prints what comes of it."""
    levels = level_set("apot", 3)
    print("levels of 3 bits:", ", ".join(map(str, levels.levels)))
    print("their codes:     ", levels.codes, "over", levels.denominator)

    quantizer = ActivationQuantizer(levels, alpha=2.0)
    x = torch.tensor([-0.5, 0.1, 0.33, 1.0, 1.5, 1.9, 3.0], requires_grad=True)
    codes = quantizer(x)
    quantized = codes.fake_quantized()
    print(f"\nalpha = {quantizer.alpha:.1f}, so one code stands for {codes.scale:.2f}")
    for value, code, result in zip(x.tolist(), codes.values.tolist(), quantized.tolist(), strict=True):
        print(f"x = {value:5.2f}  ->  code {code:3.0f}  ->  {result:.2f}")

    # The loss is the sum of what the quantiser gives, so each number adds its own part to the gradient of alpha:
    # level - x / alpha where x is within the clip, 1 where it is above, 0 where it is below.
    quantized.sum().backward()
    ratio = x.detach() / quantizer.alpha
    level = codes.values.detach() / levels.denominator
    parts = torch.where(ratio > 1, torch.ones(()), torch.where(ratio < 0, torch.zeros(()), level - ratio))
    print(f"\ngradient of alpha {quantizer.raw_alpha.grad:.4f}, by the formula {parts.sum():.4f}")
    print("gradient of x    ", x.grad.tolist() if x.grad is not None else None, "(0 outside of the clip)")


if __name__ == "__main__":
    main()
