"""Keys and certificates: whom a station believes, and how it proves who it is."""
