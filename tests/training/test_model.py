from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM
from transformers.activations import GELUTanh, NewGELUActivation

from tasks.training.model import load_model

POCKET = Path(__file__).parents[2] / "models" / "pocket-flan"


def test_the_fused_activation_changes_no_value() -> None:
    plain = AutoModelForSeq2SeqLM.from_pretrained(POCKET, dtype=torch.float32)
    fused = load_model(POCKET)
    assert any(isinstance(module, NewGELUActivation) for module in plain.modules())
    assert any(isinstance(module, GELUTanh) for module in fused.modules())
    assert not any(isinstance(module, NewGELUActivation) for module in fused.modules())
    ids = torch.arange(10, 200).reshape(2, 95)
    with torch.no_grad():
        expected = plain(input_ids=ids, decoder_input_ids=ids).logits
        found = fused(input_ids=ids, decoder_input_ids=ids).logits
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)
