"""Scoring: a model's completions, their metrics and how sure one can be of them.

`job` says what to score and starts the child process (`python -m tasks.scoring JOB.json` under
torchrun); in it, `generate` runs the models, `metrics` and `modules` score the completions and
`statistics` puts 95% intervals around the scores. One row of `predictions.jsonl`:

    {"id": "9f0c12ab34cd56ef", "task": "summary", "template": "gist", "prompt": "Give the gist...",
     "references": ["Ana and Bo meet at one."], "completions": {"tuned": "They meet at one."},
     "scores": {"tuned": {"rougeL": 0.667}}}
"""
