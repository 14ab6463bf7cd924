"""The GPU benchmark: its formula, what it says without a GPU, and that it runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import flops_per_token, main, peak_flops_of
from benchmarks.memory import RESULTS


def test_the_formula_gives_what_palm_reports() -> None:
    # PaLM 540B: 118 layers, 48 heads of 256, 2,048 tokens; 238.3 thousand tokens a second on 6,144
    # chips of 275 TFLOP/s are a utilisation of 46.2% (arXiv 2204.02311, section 4.1).
    flops = flops_per_token(540_350_000_000, 118, 48, 256, 2048)
    assert flops * 238.3e3 / (6144 * 275e12) == pytest.approx(0.462, abs=5e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "expected a CUDA GPU, found none" in capsys.readouterr().err


def test_the_peak_of_an_unknown_gpu_must_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert peak_flops_of("NVIDIA H200", None) == 989e12
    assert peak_flops_of("Something", 1e14) == 1e14
    with pytest.raises(SystemExit) as stop:
        peak_flops_of("Something", None)
    assert stop.value.code == 2
    assert "dense bf16 peak of Something" in capsys.readouterr().err


def test_it_trains_by_the_engine_and_writes_nothing_that_is_no_measurement(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted((path.name, path.stat().st_mtime_ns) for path in RESULTS.iterdir())
    main(["--smoke", "--parts", "utilisation"])
    told = capsys.readouterr().out
    assert "| 128 | False |" in told and "no measurement" in told
    assert sorted((path.name, path.stat().st_mtime_ns) for path in RESULTS.iterdir()) == before


def test_each_result_is_written_at_once_and_kept_by_later_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(size: object, compiles: bool, peak_flops: float) -> dict[str, Any]:
        sizes = {"parameters": 10**9, "tokens": 2048, "peak_memory_bytes": 1, "forecast_bytes": 1}
        rates = dict.fromkeys(("tokens_per_s", "lowest", "highest", "utilisation"), 0.5)
        return {**sizes, **rates, "compile": compiles}

    def killed(size: object, rounds: int) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    monkeypatch.setattr(gpu, "RESULTS", tmp_path)
    monkeypatch.setattr(gpu, "utilisation", trained)
    monkeypatch.setattr(gpu, "speedup", killed)
    with pytest.raises(KeyboardInterrupt):
        main([])
    main(["--parts", "compiled"])
    written = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert [written[part][0]["compile"] for part in ("utilisation", "compiled")] == [False, True]
    assert "| 2,048 | True |" in (tmp_path / "gpu.md").read_text(encoding="utf-8")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A100-SXM4-80GB")
    main(["--parts", "compiled"])  # of another GPU's results none is kept
    assert "utilisation" not in json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
