"""The world as values: what is where, what it shows, what a gesture does. No Kivy, no sockets, no clock."""
