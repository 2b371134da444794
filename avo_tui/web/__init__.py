"""The app in a browser, through textual-serve (extra `web`): loopback only, behind a token."""
