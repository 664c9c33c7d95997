"""Bad and odd inputs by the hundred, each with exactly what is to become of it."""
