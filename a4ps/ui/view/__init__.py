"""The world drawn with Kivy: thin, one file for each thing that is drawn."""
