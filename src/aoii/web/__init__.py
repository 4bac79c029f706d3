"""The web page, its API and `/metrics`: reads only, and shows what is so, also when a part is away."""
