r"""The prompt-template library: many phrasings of one task, loaded, checked and rendered.

`library` reads and checks `configs/prompts/<name>.yaml`, `promptsource` reads a published
promptsource file, `render` turns a record into a prompt-completion pair, `sandbox` is the Jinja
environment beneath all three. One example record of `dialogue_summary` and one of its pairs:

    {"dialogue": "Ana: Lunch at one?\nBo: See you there.", "summary": "Ana and Bo meet at one."}
    prompt      "Summarize this conversation in a few sentences.\n\nAna: Lunch at one? ..."
    completion  "Ana and Bo meet at one."
"""
