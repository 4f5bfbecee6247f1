"""The demo, and the replay of trade files through the whole loop."""
