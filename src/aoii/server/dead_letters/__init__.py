"""What the server took over and could not store: kept, shown, replayed."""
