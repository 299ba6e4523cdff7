import pytest
import torch

from apot_lit.quant import native


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """These tensors are tiny: a second thread costs ten times what it saves when the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="package", params=["compiled loops", "tensor operations"])
def way(request):
    """Everything about quantisers holds for both ways of computing them on the CPU."""
    patch = pytest.MonkeyPatch()
    if request.param == "tensor operations":
        patch.setattr(native, "load", lambda: None)
    elif native.load() is None:
        pytest.skip("no C compiler here")
    yield request.param
    patch.undo()
