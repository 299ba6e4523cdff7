"""ReLUs that quantisation makes superfluous: an unsigned quantiser clips at 0 itself, with the same gradient."""

from collections.abc import Container

from torch import Tensor, fx, nn

from apot_lit.quant.quantizers import NetworkInput


class AbsorbedReLU(nn.Module):
    """Stands where a ReLU was.

    Args:
        inplace: of the ReLU, to restore it.
    """

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Returns `x` itself."""
        return x


def absorbable_relus(model: nn.Module, readers: Container[nn.Module]) -> set[nn.ReLU]:
    """Finds the ReLUs of a model whose output nothing but certain layers reads.

    Args:
        model: a float model. One whose control flow depends on its input can't be traced: none is found then.
        readers: layers that will clip their input at 0.

    Returns:
        Modules of class `torch.nn.ReLU`, each of which can be left out at every place where it is called.
    """
    training = {module: module.training for module in model.modules()}
    try:
        # What reads a value may depend on the mode.
        return _found(model.train(), readers) & _found(model.eval(), readers)
    except Exception:  # whatever code that can't be traced raises
        return set()
    finally:
        for module, mode in training.items():
            module.training = mode


def _found(model: nn.Module, readers: Container[nn.Module]) -> set[nn.ReLU]:
    modules = dict(model.named_modules(remove_duplicate=False))
    found: dict[nn.ReLU, bool] = {}
    for node in InputTracer().trace(model).nodes:
        relu = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(relu, nn.ReLU):
            source = node.all_input_nodes[0]
            seen_elsewhere = relu.inplace and len(source.users) > 1  # others would see values that are not clipped
            read = all(user.op == "call_module" and modules[str(user.target)] in readers for user in node.users)
            found[relu] = found.get(relu, True) and read and not seen_elsewhere
    return {relu for relu, absorbable in found.items() if absorbable}


class InputTracer(fx.Tracer):
    """Traces float models, a `NetworkInput` as one call."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one call: torch's own are, too."""
        return isinstance(m, NetworkInput) or super().is_leaf_module(m, module_qualified_name)
