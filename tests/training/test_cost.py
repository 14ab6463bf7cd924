"""What a training costs, measured before it starts."""

from tasks.training.cost import flops_per_second


def test_the_speed_of_matrix_products_is_plausible() -> None:
    assert 1e8 < flops_per_second(duration_s=0.02) < 1e15
