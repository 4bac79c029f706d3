"""aoii: sensor nodes that send only when the gateway's picture is wrong, and lose nothing on the way to the database."""

__version__ = "0.1.0"
