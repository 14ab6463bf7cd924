"""Muon with Adafactor: which weights go where, and a state that can be taken up again."""

import copy

import torch

from tasks.config import Train
from tasks.training.optimizer import Muon, make_optimizer


def small() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Embedding(11, 6), torch.nn.Linear(6, 8), torch.nn.LayerNorm(8)
    )


def steps(model: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    for number in range(count):
        rows = torch.tensor([[number % 11, 3]])
        model(rows).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_matrices_get_muon_and_the_rest_adafactor() -> None:
    model = small()
    optimizer = make_optimizer(model, Train(optimizer="muon", learning_rate=0.02))
    assert isinstance(optimizer, Muon)
    muon, adafactor = (part.param_groups[0]["params"] for part in optimizer.parts)
    assert [tuple(weight.shape) for weight in muon] == [(8, 6)]
    assert [tuple(weight.shape) for weight in adafactor] == [(11, 6), (8,), (8,), (8,)]


def test_a_new_learning_rate_reaches_both() -> None:
    model = small()
    optimizer = make_optimizer(model, Train(optimizer="muon", learning_rate=0.02))
    before = copy.deepcopy(model.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    steps(model, optimizer, 2)
    # Adafactor's rate is relative, but for a weight of 0 it has a floor of its own.
    assert torch.equal(before["1.weight"], model.state_dict()["1.weight"])
    assert torch.equal(before["0.weight"], model.state_dict()["0.weight"])


def test_it_goes_on_from_its_state_to_the_same_weights() -> None:
    train = Train(optimizer="muon", learning_rate=0.02)
    whole, stopped = small(), small()
    one, two = make_optimizer(whole, train), make_optimizer(stopped, train)
    steps(whole, one, 6)
    steps(stopped, two, 6)
    assert all(map(torch.equal, whole.state_dict().values(), stopped.state_dict().values()))
    resumed = copy.deepcopy(stopped)
    three = make_optimizer(resumed, train)
    three.load_state_dict(copy.deepcopy(two.state_dict()))
    for optimizer in (two, three):
        for group in optimizer.param_groups:
            group["lr"] = 0.01
    steps(stopped, two, 3)
    steps(resumed, three, 3)
    assert all(map(torch.equal, stopped.state_dict().values(), resumed.state_dict().values()))
