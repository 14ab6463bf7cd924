"""The scoring process: its job file, how it is started, and what it returns.

{"examples": ".../split/test.parquet", "metrics": {"summary": ["rougeL", "rouge1"]},
 "ways": {"base": {"model": "models/pocket-flan"}, "tuned": {"model": ".../train/model"}},
 "compare": [["tuned", "base"]], "max_prompt_tokens": 512, ...}
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from tasks.config import BaseModelSection, ChatTemplate, Generation, Holdout, Recipe
from tasks.config.train import Launch
from tasks.data.base_model import folder_of
from tasks.gpus import visible_gpus
from tasks.launch import Event, launch
from tasks.progress import Bar
from tasks.prompts.of_task import TaskPrompts, prompts_of
from tasks.room import available_memory_bytes, num_cores
from tasks.scoring.metrics import DEFAULT_METRICS, check_metrics
from tasks.stage import Output, read_json, write_json
from tasks.training.cost import PROCESS_BYTES, num_parameters

DEFAULT_MIN_EFFECT = 0.02
"""Where a recipe names no smallest gain that matters."""

ROWS_PER_PROCESS = 16
"""Fewer are not worth the start of another process on a CPU, which takes seconds."""

BYTES_PER_WEIGHT = 12
"""Memory of a process on a CPU, besides libraries and batches: a model in fp32, another that is
mixed into it, and what is being read."""

NO_RESULT: dict[str, Any] = {
    "ways": {},
    "tasks": {},
    "differences": {},
    "primary": None,
    "higher_is_better": {},
    "best_in_context": None,
    "min_effect": DEFAULT_MIN_EFFECT,
    "phrasings": {},
    "generation": {},
}
"""What `metrics.json` holds where there was nothing to score."""


class Way(BaseModel):
    """A way to have the task done: a model, and how many examples its prompts show.

    Attributes:
        model: Hugging Face folder.
        shots: Worked examples in each prompt; 0 for the bare prompt.
        allow_pickle: Accept weights that are a pickle.
        trust_remote_code: Run code of both folders.
        from_scratch: Initialise the weights (torch seed `Job.seed`) instead of reading them.
        chat_template: Whether the tokenizer's chat template is used, where it has one.
        alpha: Share of the model's weights, from 0 to 1; the rest is that of `base`.
        base: Folder of the model that it was fine-tuned from, where `alpha` is below 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path
    shots: int = 0
    allow_pickle: bool = False
    trust_remote_code: bool = False
    from_scratch: bool = False
    chat_template: ChatTemplate = "auto"
    alpha: float = 1.0
    base: Path | None = None


class Job(BaseModel):
    """One scoring run.

    Attributes:
        examples: Parquet file: id, task, template, prompt, completion, references, label.
        metrics: Task -> its metrics, the deciding one first.
        ways: What is scored, by name; those of one model follow each other.
        shots_from: Parquet file that worked examples are drawn from; None without any.
        compare: Pairs of ways: the first minus the second.
        means: Tasks that means over tasks are of; all of them when left out.
        generation: How completions are generated.
        own_generation: Task -> how its completions are, where that is something else.
        max_prompt_tokens: Length limit of a prompt, shots included.
        max_examples: At most this many examples of each task, by hash of their ids.
        min_gain: A difference counts as decided when its interval lies on one side of this.
        min_effect: The difference that the number of examples needed is given for.
        phrasings: Parquet file of examples in several phrasings, for the last way to answer; as
            `tasks.scoring.phrasings` makes them.
        resamples: Bootstrap resamples.
        seed: Of the bootstrap and of the draw of worked examples.
        output: Folder for `predictions.jsonl` and `metrics.json`.
        events: File that events are appended to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    examples: Path
    metrics: dict[str, tuple[str, ...]]
    ways: dict[str, Way]
    shots_from: Path | None = None
    compare: tuple[tuple[str, str], ...] = ()
    means: tuple[str, ...] = ()
    generation: Generation
    own_generation: dict[str, Generation] = {}
    max_prompt_tokens: int
    max_examples: int | None = None
    min_gain: float = 0.0
    min_effect: float = DEFAULT_MIN_EFFECT
    phrasings: Path | None = None
    resamples: int
    seed: int
    output: Path
    events: Path


def score(job: Job, scratch: Path, name: str) -> dict[str, Any]:
    """Run a job in a process of its own and show its progress.

    Args:
        job: What to score.
        scratch: Folder for the job file and the log.
        name: Name of the stage, for the progress bar.

    Returns:
        The content of `metrics.json`.

    Raises:
        BadInput: A model or the examples are unusable.
        ChildFailed: The process ended abnormally.
    """
    path = scratch / "job.json"
    write_json(path, job.model_dump(mode="json"))
    with Bar(name, "loading the model") as bar:

        def listen(event: Event) -> None:
            if event["event"] == "generate":
                text = f"{event['way']}  {event['examples_per_s']:.1f} examples/s"
                bar.update(event["done"], event["total"], text)

        processes = Launch(processes_per_node=processes_of(job))
        launch("tasks.scoring", path, job.events, listen, processes)
    return read_json(job.output / "metrics.json")


def processes_of(job: Job) -> int:
    """How many processes score: one for each GPU, or core; vLLM takes the first.

    Threads that share a batch on a CPU wait for each other; processes with batches of their own
    do not.
    """
    if job.generation.engine == "vllm":
        return 1
    if gpus := visible_gpus():
        return len(gpus)
    weights = max(num_parameters(way.model) or 0 for way in job.ways.values())
    fit = available_memory_bytes() // (PROCESS_BYTES + BYTES_PER_WEIGHT * weights)
    worth: int = pq.read_metadata(job.examples).num_rows // ROWS_PER_PROCESS
    return max(1, min(num_cores(), fit, worth))


def write_no_result(output: Output) -> None:
    """Write the files of a job without examples."""
    (output.path / "predictions.jsonl").touch()
    write_json(output.path / "metrics.json", NO_RESULT)


def tuned_way(trained: Path) -> Way:
    """The model that a training left.

    Args:
        trained: The training's artifact.
    """
    summary = read_json(trained / "summary.json")
    trusts = summary.get("trust_remote_code", False)
    return Way(model=(trained / "model").absolute(), trust_remote_code=trusts)


def base_way(section: BaseModelSection, shots: int = 0) -> Way:
    """The base model, bare or with worked examples in its prompts."""
    return Way(
        model=folder_of(section).absolute(),
        shots=shots,
        allow_pickle=section.allow_pickle,
        trust_remote_code=section.trust_remote_code,
        from_scratch=section.from_scratch,
        chat_template=section.chat_template,
    )


def base_ways(section: BaseModelSection, test: Holdout) -> dict[str, Way]:
    """The base model in every way that `test.baselines` names: `base`, `one_shot`, `few_shot`."""
    asked = test.few_shot_examples
    first, *others = dict.fromkeys([asked] if isinstance(asked, int) else asked)
    shots = {
        "zero_shot": {"base": 0},
        "one_shot": {"one_shot": 1},
        "few_shot": {"few_shot": first} | {f"few_shot_{number}": number for number in others},
    }
    names = dict.fromkeys(("zero_shot", *test.baselines))  # base is always measured
    return {way: base_way(section, number) for name in names for way, number in shots[name].items()}


def prompts_of_tasks(recipe: Recipe) -> dict[str, TaskPrompts]:
    """The prompt file of each task of a recipe.

    Raises:
        BadPrompt: One is not usable.
    """
    return {task.name: TaskPrompts.of(task) for task in recipe.tasks}


def metrics_of_tasks(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """The metrics of each task of a recipe: its own, or those that suit its kind.

    Raises:
        BadRecipe: A metric does not exist.
        BadPrompt: A prompt file is not usable.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for task in recipe.tasks:
        if task.metrics is not None:
            check_metrics(task.metrics, f"{recipe.name}: tasks.{task.name}.metrics")
            chosen[task.name] = task.metrics
        else:
            prompts = prompts_of(task.prompts, task.promptsource)
            chosen[task.name] = DEFAULT_METRICS[prompts.task]
    return chosen
