"""The job file of the training process.

{"base": "models/pocket-flan", "train_file": ".../split/train.parquet", "epochs": 3, ...}
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.config import ChatTemplate, Mixture, Train
from tasks.data.mixing import Rehearsal


class TrainJob(BaseModel):
    """One training run.

    Attributes:
        base: Base model folder.
        base_name: What to call it in an adapter, on whatever machine.
        base_revision: Its commit, where that is the name of a hub repository.
        from_scratch: Initialise the weights instead of reading them.
        allow_pickle: Accept weights that are a pickle.
        trust_remote_code: Run code of the base model's folder.
        chat_template: Whether the base model's chat template is used.
        train_file: Parquet file of prompt-completion pairs to learn from.
        validation_file: Parquet file of pairs that choose the best checkpoint.
        train: The recipe's section.
        mixture: The recipe's section.
        rehearsal: Old tasks among the examples, and their share.
        output: Folder for the result; exists and is empty.
        scratch: Folder for checkpoints; training resumes from what it holds.
        tokens: Folder for the token ids of pairs, which outlive the run.
        events: File that events are appended to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Path
    base_name: str
    base_revision: str | None
    from_scratch: bool
    allow_pickle: bool
    trust_remote_code: bool = False
    chat_template: ChatTemplate = "auto"
    train_file: Path
    validation_file: Path
    train: Train
    mixture: Mixture
    rehearsal: Rehearsal | None = None
    output: Path
    scratch: Path
    tokens: Path
    events: Path
