"""The kinds of windows, one file each. Importing this registers them all."""
