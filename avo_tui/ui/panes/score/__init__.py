"""The chart of the scores."""
