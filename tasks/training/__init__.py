"""Supervised fine-tuning, in a process of its own: `torchrun -m tasks.training JOB.json`."""
