"""Dead letters: what the database did not take, kept for a person or for a replay."""
