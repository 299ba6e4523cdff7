"""Tiny networks need one thread."""

import pytest

from tests import conftest

one_thread = pytest.fixture(autouse=True, scope="package")(conftest.one_thread)
