"""What the personas remember of earlier turns."""
