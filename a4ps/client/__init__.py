"""The one client of the backend, used by the command line, the UI and scripts alike."""
