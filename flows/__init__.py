"""The Prefect flows and the `retune` command; the only code that imports prefect.

retune run configs/recipes/support_chat.yaml
"""
