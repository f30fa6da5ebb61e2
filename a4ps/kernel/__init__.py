"""The runtime that holds the image, the engine and the society, and the one place that wires them."""
