"""The web page, its API and `/metrics`: reads only, and shows what it can while the rest is away."""
