import pytest
import torch

from tasks.training import precision
from tasks.training.precision import autocast, bf16_speedup, products, uses_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("has_bf16", "speedup", "used"),
    [(True, 3.0, True), (True, 1.1, False), (True, 0.5, False), (False, 3.0, False)],
)
def test_on_a_cpu_bf16_is_used_where_it_was_measured_to_pay(
    has_bf16: bool, speedup: float, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda: has_bf16)
    monkeypatch.setattr(precision, "bf16_speedup", lambda: speedup)
    assert uses_bf16("auto", CPU) is used
    assert uses_bf16("bf16", CPU) and not uses_bf16("fp32", CPU), "what is asked for is used"


@pytest.mark.parametrize("amx", [True, False])
def test_bf16_on_a_cpu_is_autocast_or_with_amx_the_products_alone(
    amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_amx", lambda device: amx)
    before = torch.get_float32_matmul_precision()
    for bf16 in (True, False):
        with products(bf16, CPU), autocast(bf16, CPU):
            assert torch.is_autocast_enabled("cpu") == (bf16 and not amx)
            changed = torch.get_float32_matmul_precision() != before
            assert changed == (bf16 and amx)
        assert torch.get_float32_matmul_precision() == before


def test_the_speed_is_measured_once() -> None:
    assert bf16_speedup() > 0.0
    assert bf16_speedup() == bf16_speedup(), "one process, one arithmetic"
