"""`python -m avo_tui.cli`: the same as `avo`."""

from avo_tui.cli import main

main()
