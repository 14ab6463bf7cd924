"""The `split` section, for example `{validation: 0.1, test: 0.1, seed: 7}`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.config.section import Section, Seed, Share


class Split(Section):
    """How records are divided into training, validation and test."""

    validation: Share = 0.1
    """Share of the records that measures progress and chooses the best checkpoint."""

    test: Share = 0.1
    """Share of the records that is scored once, at the end."""

    seed: Seed = 7
    """Seed of the hash that places a record; the same seed always places it the same way."""

    near_duplicates: Annotated[float, Field(gt=0.0, le=1.0)] | None = 0.8
    """Records whose word 3-grams have at least this Jaccard similarity stay on one side
    (estimated by MinHash); null switches the search off. What more than half of the first 1,000
    records have, such as an instruction in each of them, does not count. In scripts without spaces,
    such as Chinese or Thai, a word is a character."""

    on_leak: Literal["stop", "drop", "keep"] = "stop"
    """What to do when a ready-made test or validation record also stands in train, or one of test
    in validation: stop the run, drop the record there, or keep it and report it."""

    @model_validator(mode="after")
    def _something_left(self) -> Self:
        if self.validation + self.test >= 1.0:
            raise ValueError("expected validation + test below 1, so that rows are left to train")
        return self
