"""Tools that the society writes for itself: specified, written, tried in the sandbox, kept in the image, used by call."""
