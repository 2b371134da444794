"""The named parts of the app: the connection to the terminal, its window, leaving, following."""
