"""The world drawn and touched, with Kivy. What is seen and done is decided in `a4ps.ui.model` and the desk; here it is only
put on the screen, and what the pointer and the keys do is handed over.
"""
