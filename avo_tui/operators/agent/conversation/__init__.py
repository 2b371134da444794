"""The messages of a step: built from events, made valid, kept within the model's context."""
