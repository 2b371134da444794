"""What watches a run: the caps of its budget, and the supervisor that notices a stall."""
