"""Where code that nobody vouches for runs: single-use sandboxes, what is said to them, and what comes back."""
