"""The outside of the seat: a client of its socket, the brief for an agent, the MCP server."""
