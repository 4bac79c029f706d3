"""aoii: sensor nodes that send only when the gateway's picture is wrong, and nothing lost on the way to SQL."""

__version__ = "0.1.0"
