"""The screen of a campaign: all its lines, one chart, what happened."""
