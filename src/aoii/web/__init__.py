"""The web page, its API and `/metrics`. It only reads, and shows what it can while a database or a station is away."""
