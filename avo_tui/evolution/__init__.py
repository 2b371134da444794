"""The engine: the process that runs a session, step by step, under the person's control."""
