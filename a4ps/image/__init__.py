"""The image: the one durable truth, a SQLite file with one writer."""
