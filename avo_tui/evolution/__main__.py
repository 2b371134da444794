"""`python -m avo_tui.evolution SESSION_FOLDER`: the engine process."""

from avo_tui.evolution.process import main

raise SystemExit(main())
