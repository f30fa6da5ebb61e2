"""The Entropic UI: a Morphic world on the running backend. Nothing imports Kivy but `view` and `app`."""
