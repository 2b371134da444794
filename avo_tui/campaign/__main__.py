"""`python -m avo_tui.campaign FOLDER`: the process that conducts a campaign."""

from avo_tui.campaign.process import main

raise SystemExit(main())
