"""The ways to adapt a model, side by side: which there are, what they came to, what that shows."""
