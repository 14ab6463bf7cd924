"""Records and examples: read, shaped, split, mixed and turned into tokens.

A record is what one row of a source says, as text: `{"dialogue": "Ana: ...", "summary": "..."}`.
"""
