"""The chaos run: a whole service under load while its parts are killed, stopped and cut off."""
