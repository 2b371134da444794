"""The engine: the loop of steps, the person's control, the gates, the supervisor, the process."""
