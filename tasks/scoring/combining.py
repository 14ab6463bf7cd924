"""Answers requests that arrive at the same time in one batch, instead of one after the other.

answer = Combined(generate); answer("greedy, 96 tokens", ["Summarize: ...", "Is this ..."])

The thread that gets the model answers all waiting requests with the same settings, and the other
threads find their answers ready (flat combining: Hendler et al., SPAA 2010,
doi.org/10.1145/1810479.1810540).
"""

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)


@dataclass(eq=False)
class _Request(Generic[S]):
    settings: S
    prompts: Sequence[str]
    may_share: bool
    answers: list[str] | None = None
    error: Exception | None = None


class Combined(Generic[S]):
    """A function of settings and prompts that several threads may call.

    It never runs twice at the same time, and joins the prompts of calls with equal settings.
    """

    def __init__(self, answer: Callable[[S, Sequence[str]], list[str]]) -> None:
        self._answer = answer
        self._working = threading.Lock()
        self._waiting: list[_Request[S]] = []
        self._guard = threading.Lock()

    def __call__(self, settings: S, prompts: Sequence[str], may_share: bool) -> list[str]:
        """Answer prompts.

        Args:
            settings: How.
            prompts: What.
            may_share: Whether the answers are the same in whatever company; sampled ones are not.

        Returns:
            One answer for each prompt.
        """
        request = _Request(settings, prompts, may_share)
        with self._guard:
            self._waiting.append(request)
        with self._working:
            if request.answers is None and request.error is None:
                self._work(self._taken(request))
        if request.error is not None:
            raise request.error
        assert request.answers is not None
        return request.answers

    def _taken(self, request: _Request[S]) -> list[_Request[S]]:
        with self._guard:
            together = [
                other
                for other in self._waiting
                if other is request
                or (other.may_share and request.may_share and other.settings == request.settings)
            ]
            self._waiting = [other for other in self._waiting if other not in together]
        return together

    def _work(self, requests: Sequence[_Request[S]]) -> None:
        try:
            prompts = [prompt for request in requests for prompt in request.prompts]
            answers = iter(self._answer(requests[0].settings, prompts))
            for request in requests:
                request.answers = [next(answers) for _ in request.prompts]
        except Exception as error:  # every caller has to hear of it
            for request in requests:
                request.error = error
