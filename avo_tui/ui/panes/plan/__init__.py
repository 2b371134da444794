"""The plan of a step, and everything said and done in it."""
