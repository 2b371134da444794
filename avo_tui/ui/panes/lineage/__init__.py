"""The lineage as a graph with a cursor."""
