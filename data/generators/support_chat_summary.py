"""Compose the summary of a support chat from the facts the chat tells.

Tom wants to keep room 212 until 2 pm. Maya allows it for 15 pounds.
"""

from random import Random

from data.generators.support_chat_dialogue import Chat, fill
from data.generators.support_chat_fragments import SLOT, Book, Case, pick

# Facts a frame may use though no turn says them: they name the business, not the request.
ALWAYS_KNOWN = frozenset({"place", "ref_name"})


def compose_summary(book: Book, case: Case, chat: Chat, rng: Random, avoid: str) -> str | None:
    """Compose one summary.

    Args:
        book: The fragments.
        case: Scenario and outcome of the chat.
        chat: The chat to sum up.
        rng: Source of chance.
        avoid: A summary whose request and outcome phrases must not come again; may be empty.

    Returns:
        The summary, of any length; None where it would tell what the chat does not, or repeat.
    """
    request, result = pick(case.scenario["wish"], rng), pick(case.outcome["told"], rng)
    frame = pick(book.shared["frames"], rng)
    parts = {"wish": request, "told": result, "link": case.outcome["link"]}
    text = SLOT.sub(lambda match: parts.get(match[1], match[0]), frame)
    if not set(SLOT.findall(text)) <= chat.told | ALWAYS_KNOWN:
        return None
    if avoid and any(_core(part, chat) in avoid for part in (request, result)):
        return None
    return fill(text, chat.facts)


def _core(part: str, chat: Chat) -> str:
    """A phrase as a summary shows it, without its first letter, whose case may differ."""
    return SLOT.sub(lambda match: chat.facts[match[1]], part)[1:]
