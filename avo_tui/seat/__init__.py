"""The outside of the seat: socket client, brief for the agent, MCP server."""
