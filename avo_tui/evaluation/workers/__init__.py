"""Worker processes that evaluate, on this machine and on others, and the fleet that shares them."""
