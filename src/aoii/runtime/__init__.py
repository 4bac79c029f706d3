"""What all stations share: how a station runs, stops, logs, measures itself and tells the time."""
