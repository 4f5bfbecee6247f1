"""The local stack: real servers as processes of their own, on loopback."""
