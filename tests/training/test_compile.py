"""A model whose blocks are compiled learns the same; what there is none to compile with is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from tasks.errors import BadInput
from tasks.training.precision import MOST_VARIANTS, compile_blocks
from tests.training.trainers import trainer_of


@pytest.mark.parametrize(("device", "variable"), [("cpu", "CXX"), ("cuda", "CC")])
def test_a_compiler_that_is_not_there_is_told(
    device: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "no-compiler"))
    with pytest.raises(BadInput, match=f"train.compile\n.* compiler\n.*none\n.* {variable}, or"):
        compile_blocks(None, torch.device(device))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch hides it, from users
def test_compiled_blocks_learn_the_same(
    write_job: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = write_job(tmp_path, "llama", 60)
    counter = CompileCounter()  # takes graphs as they are: what code is made of them is torch's
    compile_it: Any = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **how: compile_it(self, backend=counter, **how)
    )
    results = []
    for compiles in (False, True):
        trainer = trainer_of(job, compile=compiles)
        trainer.model.train()
        losses = [trainer._step(step) for step in trainer._steps(0)]
        made = counter.frame_count
        assert bool(made) == compiles and made < MOST_VARIANTS
        results.append([*losses, *trainer.validate()])
        assert counter.frame_count == made
    assert results[0] == pytest.approx(results[1], abs=1e-4)
