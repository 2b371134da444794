"""The panes of the run screen: for each the text it shows, its widget and its painter."""
