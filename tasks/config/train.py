"""The `train` section.

train: {method: full, epochs: 3, learning_rate: 5e-4, batch_tokens: 4096}
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from tasks.config.methods import Interpolate, Lora, Replay
from tasks.config.section import Section, Seed, Share

Positive = Annotated[int, Field(ge=1)]

LEARNING_RATES = {"full": (5e-4, 2e-5), "lora": (2e-3, 2e-4), "qlora": (2e-3, 2e-4)}
"""Peak learning rate of each method with AdamW, where the recipe leaves it open: of small models,
and of those of billions of weights."""

ADAFACTOR_LEARNING_RATE = 1e-3
SMALL_MODEL = 300_000_000
"""Weights up to which a model gets the learning rate of small ones."""

MAX_PORT = 65_535

CPU_MICRO_BATCH_TOKENS = 2048
"""Tokens in one pass on a CPU, where the recipe leaves it open."""

GROUP_TOKENS, MOST_GROUPS = 2048, 4
"""Tokens of examples alike in length that go together at least, and how many such groups go into a
step that has room for them: a step of one length only would be a biased sample."""


def _host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or any(map(str.isspace, host)) or not port.isdecimal() or int(port) > MAX_PORT:
        raise PydanticCustomError("host_and_port", "HOST:PORT, such as node0:29500")
    return text


class Launch(Section):
    """The processes that train one model, started by torchrun.

    The same recipe trains the same on one as on many, but for rounding and dropout.
    """

    nodes: Positive = 1
    """Machines. On each other than the first, run the command that the first one logs."""

    processes_per_node: Positive | None = None
    """Processes on each machine: its number of GPUs. When left out, one on a GPU and on several
    machines; on a CPU one for each core, as far as memory holds them and a step has 1,024 tokens
    for each."""

    rendezvous: Annotated[str, AfterValidator(_host_and_port)] | None = None
    """`HOST:PORT` of the first machine, where the others meet it; needed for several."""

    accelerate: Literal["ddp", "fsdp"] = "ddp"
    """`ddp`: each process holds the whole model. `fsdp`: weights, gradients and optimizer states
    are shared out (FSDP2), for models that one GPU does not hold."""

    @property
    def num_per_node(self) -> int:
        """On each machine; one where that is left open."""
        return self.processes_per_node or 1

    @property
    def num_processes(self) -> int:
        """On all machines."""
        return self.nodes * self.num_per_node

    @model_validator(mode="after")
    def _meets(self) -> Self:
        if self.nodes > 1 and self.rendezvous is None:
            raise ValueError("expected `rendezvous`, HOST:PORT of the first of several nodes")
        return self


class Train(Section):
    """How the weights are updated."""

    method: Literal["full", "lora", "qlora"] = "full"
    """`full`: every weight is updated. `lora`: low-rank adapters are trained and then merged into
    the weights. `qlora`: the same on weights held in 4 bits, which needs a CUDA GPU and the package
    bitsandbytes (arXiv 2305.14314)."""

    lora: Lora = Lora()
    """The adapters of `lora` and `qlora`."""

    replay: Replay | None = None
    """Old tasks to rehearse, whatever the method."""

    interpolate: Interpolate | None = None
    """Whether to go on with weights between those of base and tuned model, whatever the method."""

    epochs: Positive = 3
    """Passes over the training mixture."""

    max_steps: Positive | None = None
    """At most this many optimizer steps in all, also where `epochs` would take more: the schedule
    of the learning rate ends there too. No limit when left out."""

    optimizer: Literal["adamw", "adafactor"] = "adamw"
    """`adamw`, or `adafactor`, whose steps are relative to the size of each weight matrix: it
    needs less memory, and T5 models made from scratch need it (arXiv 1804.04235)."""

    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Peak learning rate. When left out, `adamw` has 5e-4 for `full` and 2e-3 for adapters up to
    300 million weights, and with more of them less, in proportion, down to 2e-5 for `full` (Llama
    2, arXiv 2307.09288, section 3.1) and 2e-4 for adapters (arXiv 2305.14314); `adafactor` has
    1e-3, as T5 was fine-tuned (arXiv 1910.10683)."""

    batch_tokens: Positive = 4096
    """Tokens in one optimizer step, prompt and completion with padding; sets how many examples
    go together."""

    micro_batch_tokens: Positive | None = None
    """Tokens in one forward and backward pass, for memory's sake: it changes neither the examples
    of a step nor its loss. When left out, 2,048 on a CPU and all of `batch_tokens` on a GPU; where
    rows are not packed at most a group of examples alike in length, of which a step has up to four.
    Where memory runs out all the same, it is halved."""

    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate goes down after the warm-up."""

    warmup: Share = 0.05
    """Share of the steps over which the learning rate rises from 0 to its peak."""

    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    """Decoupled weight decay; not applied to biases and norms."""

    max_grad_norm: Annotated[float, Field(gt=0.0)] = 1.0
    """Gradients are scaled down to at most this L2 norm."""

    max_prompt_tokens: Positive = 512
    """Length limit of a prompt, in tokens."""

    max_completion_tokens: Positive = 128
    """Length limit of a completion, in tokens, its stop token included."""

    too_long: Literal["drop", "truncate"] = "drop"
    """Training examples over a limit: leave them out, or cut the end of the prompt (a completion
    is never cut: its stop token would not be learnt). Both are counted and reported."""

    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the forward and backward pass; `auto` is bf16 where the hardware is
    faster in it; on a CPU that is measured. Weights and optimizer states stay in fp32."""

    compile: bool = False
    """Compile the model's blocks with torch.compile, which takes about a minute on a CPU before
    steps are faster: for long runs. It needs a compiler, for C++ on a CPU and for C on a GPU."""

    packing: bool | None = None
    """Put several examples into a row of a decoder-only model, if a trial shows that it keeps them
    apart. When left out, on a GPU: on a CPU rows of one example, alike in length, are faster."""

    patience: Positive = 3
    """Stop after this many epochs without a better validation loss."""

    checkpoint_minutes: Annotated[float, Field(gt=0.0)] = 5.0
    """Time between resumable checkpoints inside an epoch, in minutes; one is always written at
    the end of an epoch."""

    seed: Seed = 7
    """Seed of initialisation, dropout and the order of examples."""

    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: takes about a third
    more time and a fraction of the activations' memory (arXiv 1604.06174)."""

    launch: Launch = Launch()
    """The processes that train together."""

    @property
    def group_tokens(self) -> int:
        """Tokens of examples alike in length that go together, whatever the hardware."""
        return self.batch_tokens // max(1, min(MOST_GROUPS, self.batch_tokens // GROUP_TOKENS))

    def peak_learning_rate(self, num_parameters: int) -> float:
        """The learning rate, or where none is given the one for a model of so many weights."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.optimizer == "adafactor":
            return ADAFACTOR_LEARNING_RATE
        small, large = LEARNING_RATES[self.method]
        return max(large, small * min(1.0, SMALL_MODEL / num_parameters))

    @model_validator(mode="after")
    def _adapters_leave_zero(self) -> Self:
        if self.method != "full" and self.optimizer == "adafactor":
            # Its steps are relative to a weight's size, and adapters start from zero.
            raise ValueError(
                "expected `optimizer: adamw`, with a learning rate for it or none, where adapters "
                "are trained: adafactor can't"
            )
        return self

    @model_validator(mode="after")
    def _fits_processes(self) -> Self:
        if self.launch.accelerate == "fsdp" and self.optimizer != "adamw":
            raise ValueError("expected `optimizer: adamw` with `launch.accelerate: fsdp`")
        if self.launch.accelerate == "fsdp" and self.method != "full":
            raise ValueError("expected `launch.accelerate: ddp` with adapters")
        return self


def _without_launch(section: Train) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude={"launch"})


KeyedTrain = Annotated[Train, PlainSerializer(_without_launch)]
"""For the stage: on how many processes it trains is no part of what it makes."""
