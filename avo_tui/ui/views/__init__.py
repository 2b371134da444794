"""Pure functions from records to lines of text with roles."""
