"""What a reasoning model writes before its answer.

without_thought("<think>Oslo is in Norway.</think>\\n\\nNorway")  ->  "Norway"
"""

THOUGHT, THOUGHT_END = "<think>", "</think>"


def without_thought(text: str) -> str:
    """What an answer says after its thought, if it has one; nothing where that does not end."""
    _, end, answer = text.partition(THOUGHT_END)
    if end:
        return answer.strip()
    return "" if begins_with_thought(text) else text


def begins_with_thought(text: str) -> bool:
    """Whether an answer begins with a thought, as a reasoning model's does."""
    return text.lstrip().startswith(THOUGHT)
