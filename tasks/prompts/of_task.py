"""The prompt file that a task of a recipe names: one of the library, or a promptsource file.

TaskPrompts.of(task).load()  ->  PromptFile(name="dialogue_summary", version="3", ...)
"""

from tasks.config import Section, TaskSection
from tasks.prompts.library import PromptFile, load_prompts
from tasks.prompts.promptsource import load_promptsource


class TaskPrompts(Section):
    """The prompt file of one task."""

    prompts: str | None
    """Prompt file, or None where a promptsource file is used."""

    promptsource: str | None
    """Promptsource file."""

    digest: str
    """sha256 of the prompt file's content, held-out phrasings included."""

    @classmethod
    def of(cls, task: TaskSection) -> "TaskPrompts":
        """Those of a task.

        Raises:
            BadPrompt: The file is not usable.
        """
        digest = prompts_of(task.prompts, task.promptsource).digest
        return cls(prompts=task.prompts, promptsource=task.promptsource, digest=digest)

    def load(self) -> PromptFile:
        """Read the file.

        Raises:
            BadPrompt: It is not usable.
        """
        return prompts_of(self.prompts, self.promptsource)


def prompts_of(prompts: str | None, promptsource: str | None) -> PromptFile:
    """Read the prompt file that a task names: exactly one of the two is not None.

    Raises:
        BadPrompt: It is not usable.
    """
    return load_prompts(str(prompts)) if promptsource is None else load_promptsource(promptsource)
