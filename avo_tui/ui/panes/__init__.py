"""The panes of the run screen: what each shows, as lines; its widget; its painter."""
