"""What the backend and its clients say to each other: messages, how they are written, and the rules of a session."""
