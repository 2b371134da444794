"""Values and rules of the search: pure, without input, output or framework."""
