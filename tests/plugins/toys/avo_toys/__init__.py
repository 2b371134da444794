"""A toy operator and a toy backend."""
