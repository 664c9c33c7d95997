"""`python -m cli`: the same as `plate-detect`, where the program is not installed (Docker)."""

from cli.main import app

app(prog_name="plate-detect")
