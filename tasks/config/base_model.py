"""The `base_model` section, for example `{path: models/pocket-flan}`."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import PlainSerializer, model_validator

from tasks.config.section import FilePath, Section

ChatTemplate = Literal["auto", "none", "thinking"]


class BaseModelSection(Section):
    """The model that fine-tuning starts from: a local folder or a pinned hub repository."""

    path: FilePath | None = None
    """Folder in Hugging Face format (config.json, tokenizer, model.safetensors), relative to the
    current folder. For a translation model of many languages (NLLB, M2M100, mBART, SeamlessM4T)
    `src_lang` and `tgt_lang` in its tokenizer_config.json say that of prompts and that of
    completions."""

    hub: str | None = None
    """Repository on the Hugging Face hub, such as `google/flan-t5-small`; needs `revision`."""

    revision: str | None = None
    """Commit hash of the hub repository, so that the same recipe always means the same weights.
    With a `path` and `trust_remote_code`: the digest of the folder."""

    start_from: FilePath | None = None
    """Folder with later weights of the same model to start training from. What is trained is still
    compared with the base model. `retune retrain` sets it where `retrain.start_from` says so."""

    from_scratch: bool = False
    """Initialise the weights randomly (seeded by `train.seed`) from the folder's config.json
    instead of reading them: this is how a base model is pre-trained."""

    allow_pickle: bool = False
    """Accept a folder whose weights are a pickle (`pytorch_model.bin`). Loading a pickle runs
    code that it contains: allow it only for files whose origin you trust."""

    trust_remote_code: bool = False
    """Run the Python code that comes in the model's folder, with all that the user of this process
    may do: here, and wherever the registered model is loaded. `revision` pins that code: the full
    commit of the hub repository, or the digest of the folder, which the refusal of another one
    tells."""

    chat_template: ChatTemplate = "auto"
    """`auto`: where the tokenizer of a decoder-only model has a chat template, prompts are user
    turns and completions the assistant's, in training, in every evaluation and in the registered
    model alike. A date that it writes is the same every day: 26 Jul 2024. A model that can think
    before it answers (`enable_thinking`, or prompts that end with `<think>`) is asked to answer at
    once. `thinking`: it may think first; for completions that hold thoughts
    (`<think>...</think>`, or a turn's `reasoning_content`), which are learnt. `none`: prompts stand
    as they are, as for a model without one."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("expected exactly one of `path` and `hub`")
        if self.hub is not None and self.revision is None:
            raise ValueError("expected `revision`, the commit of the hub repository to pin")
        if self.from_scratch and self.start_from is not None:
            raise ValueError("expected either `from_scratch` or `start_from`")
        if self.trust_remote_code:
            self._check_pin()
        return self

    def _check_pin(self) -> None:
        kind = "the full commit" if self.hub else "the digest of the folder"
        if not re.fullmatch("[0-9a-f]{40}" if self.hub else "[0-9a-f]{64}", self.revision or ""):
            raise ValueError(f"expected as `revision`, for code that is to be run, {kind}")
        if self.start_from is not None:
            raise ValueError("expected either `trust_remote_code` or `start_from`")


ORIGIN = {"path", "hub", "revision", "start_from"}
"""Fields that say where the model lies."""


def _without_origin(section: BaseModelSection) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude=ORIGIN | untrusting(section))


def untrusting(section: BaseModelSection) -> set[str]:
    """Left out of a key where it is off, so that artifacts older than the field stay valid."""
    return set() if section.trust_remote_code else {"trust_remote_code"}


KeyedBaseModel = Annotated[BaseModelSection, PlainSerializer(_without_origin)]
"""For the sections of stages: the digest of its files says which model it is, wherever it lies."""
