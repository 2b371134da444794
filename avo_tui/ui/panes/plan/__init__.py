"""The plan of a step, and the stream of what was said and done in it."""
