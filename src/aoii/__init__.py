"""aoii: sensor nodes that send only when the gateway's estimate is wrong; no accepted reading is lost."""

__version__ = "0.2.0"
