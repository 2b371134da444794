"""Access to the terminal: writing without blocking the app, and measuring the connection."""
