"""Screens: each composes widgets and answers its own actions."""
