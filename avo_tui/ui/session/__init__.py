"""Following a session: what is read of it, live or replayed, and what the screens are shown."""
