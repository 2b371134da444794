"""C, through the runner of C++."""
