"""Tests in this directory need a CUDA GPU; elsewhere they are skipped."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _needs_cuda():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    assert torch.cuda.get_device_capability() >= (7, 0), "torch.compile needs at least this"
