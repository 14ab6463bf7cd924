"""Takes along what turns images and sound into tokens, where only texts were learnt.

processor_config.json  preprocessor_config.json  video_preprocessor_config.json

Without these, vLLM and `AutoProcessor` load the base model, but not what was made of it.
"""

import shutil
from pathlib import Path

from tasks.data.base_model import read_config

# Not chat_template.json: it would come before the template that the model was tuned with.
FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")


def copy_processor(base: Path, model: Path) -> None:
    """Copy the files of a base model's processor, where it was loaded as a whole.

    Args:
        base: Folder of the base model.
        model: Folder of the model that was made of it.
    """
    if read_config(base).get("model_type") != read_config(model).get("model_type"):
        return  # of it only the part that reads and writes text is left
    for path in (base / name for name in FILES):
        if path.exists():
            shutil.copy(path, model)
