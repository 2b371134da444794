"""The colours of the app."""
