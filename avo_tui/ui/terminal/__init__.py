"""The terminal: written without blocking the app, measured, its window's title."""
