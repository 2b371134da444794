"""The operator `acp`: starts an agent that speaks the Agent Client Protocol and gives it the
seat."""
