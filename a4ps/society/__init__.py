"""The deliberation: one graph from a question to an answer."""
