"""The phases of a run (recovery, seeding, waiting), and its text output without the app."""
