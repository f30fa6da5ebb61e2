"""Code that models wrote, made useful: tools that the society writes for itself, and how methods of models are run."""
