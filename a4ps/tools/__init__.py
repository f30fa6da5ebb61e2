"""What personas can do besides speaking: code that was written for it, and how it is run."""
