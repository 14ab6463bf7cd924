"""The `base_model` section, for example `{path: models/pocket-flan}`."""

from typing import Annotated, Any, Literal, Self

from pydantic import PlainSerializer, model_validator

from tasks.config.section import Section


class BaseModelSection(Section):
    """The model that fine-tuning starts from: a local folder or a pinned hub repository."""

    path: str | None = None
    """Folder in Hugging Face format (config.json, tokenizer, model.safetensors), relative to the
    current folder."""

    hub: str | None = None
    """Repository on the Hugging Face hub, such as `google/flan-t5-small`; needs `revision`."""

    revision: str | None = None
    """Commit hash of the hub repository, so that the same recipe always means the same weights."""

    start_from: str | None = None
    """Folder with later weights of the same model to start training from. What is trained is still
    compared with the base model. `retune retrain` sets it where `retrain.start_from` says so."""

    from_scratch: bool = False
    """Initialise the weights randomly (seeded by `train.seed`) from the folder's config.json
    instead of reading them: this is how a base model is pre-trained."""

    allow_pickle: bool = False
    """Accept a folder whose weights are a pickle (`pytorch_model.bin`). Loading a pickle runs
    code that it contains: allow it only for files whose origin you trust."""

    chat_template: Literal["auto", "none"] = "auto"
    """`auto`: where the tokenizer of a decoder-only model has a chat template, prompts are user
    turns and completions the assistant's, in training, in every evaluation and in the registered
    model alike. `none`: prompts stand as they are, as for a model without one."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("expected exactly one of `path` and `hub`")
        if self.hub is not None and self.revision is None:
            raise ValueError("expected `revision`, the commit of the hub repository to pin")
        if self.from_scratch and self.start_from is not None:
            raise ValueError("expected either `from_scratch` or `start_from`")
        return self


ORIGIN = {"path", "hub", "revision", "start_from"}
"""Fields that say where the model lies."""


def _without_origin(section: BaseModelSection) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude=ORIGIN)


KeyedBaseModel = Annotated[BaseModelSection, PlainSerializer(_without_origin)]
"""For the sections of stages: the digest of its files says which model it is, wherever it lies."""
