"""Parts of the app: terminal connection, window title, departure, open session."""
