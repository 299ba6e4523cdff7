import pytest

from apot_lit.quant.cpu import native
from tests import conftest

one_thread = pytest.fixture(autouse=True, scope="package")(conftest.one_thread)


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
