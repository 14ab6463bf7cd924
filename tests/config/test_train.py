"""What the section `train` takes where the recipe leaves something open."""

import pytest

from tasks.config import Train


@pytest.mark.parametrize(
    ("train", "num_parameters", "expected"),
    [
        ({}, 4_600_000, 5e-4),
        ({}, 300_000_000, 5e-4),
        ({}, 1_500_000_000, 1e-4),
        ({}, 8_000_000_000, 2e-5),
        ({"method": "lora"}, 100_000_000, 2e-3),
        ({"method": "qlora"}, 8_000_000_000, 2e-4),
        ({"optimizer": "adafactor"}, 3_000_000_000, 1e-3),
        ({"learning_rate": 0.01}, 8_000_000_000, 0.01),
    ],
)
def test_the_learning_rate_suits_the_model(
    train: dict[str, str | float], num_parameters: int, expected: float
) -> None:
    assert Train.model_validate(train).peak_learning_rate(num_parameters) == pytest.approx(expected)
