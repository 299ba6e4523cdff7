"""Batch norms that share their statistics, here among one process; test_distributed.py has two."""

import copy

import pytest
import torch
from torch import nn

from apot_lit.training.sync_batch_norm import SharedBatchNorm


@pytest.fixture
def one_process():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_alone_it_is_a_batch_norm(one_process, momentum):
    torch.manual_seed(0)
    usual = nn.BatchNorm2d(5, momentum=momentum)
    nn.init.uniform_(usual.weight)
    nn.init.normal_(usual.bias)
    shared = copy.deepcopy(usual)
    shared.__class__ = SharedBatchNorm
    for offset in (0, 30):
        images = torch.randn(6, 5, 3, 4) + offset
        grads = torch.randn(6, 5, 3, 4)
        inputs = [images.clone().requires_grad_() for _ in range(2)]
        outputs = [layer(x) for layer, x in zip((usual, shared), inputs, strict=True)]
        for output in outputs:
            output.backward(grads)
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(shared.weight.grad, usual.weight.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(shared.bias.grad, usual.bias.grad, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(shared.state_dict(), usual.state_dict(), rtol=1e-5, atol=1e-6)
    usual.load_state_dict(shared.state_dict())
    assert torch.equal(shared.eval()(images), usual.eval()(images))
