"""Networks that have seen digits, from the tests of exports."""

import pytest

from tests import conftest

one_thread = pytest.fixture(autouse=True, scope="package")(conftest.one_thread)
