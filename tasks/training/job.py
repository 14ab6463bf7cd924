"""What the training process is told, as JSON.

{"base": "models/pocket-flan", "train_file": ".../split/train.parquet", "epochs": 3, ...}
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.config import Mixture, Train


class TrainJob(BaseModel):
    """One training run.

    Attributes:
        base: Base model folder.
        from_scratch: Initialise the weights instead of reading them.
        allow_pickle: Accept weights that are a pickle.
        train_file: Parquet file of prompt-completion pairs to learn from.
        validation_file: Parquet file of pairs that choose the best checkpoint.
        train: The recipe's section.
        mixture: The recipe's section.
        output: Folder for the result; exists and is empty.
        scratch: Folder for checkpoints; what it holds is gone on from.
        tokens: Folder for the token ids of pairs, which outlive the run.
        events: File that events are appended to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Path
    from_scratch: bool
    allow_pickle: bool
    train_file: Path
    validation_file: Path
    train: Train
    mixture: Mixture
    output: Path
    scratch: Path
    tokens: Path
    events: Path
