"""The network as one piece of hardware: its layers put together."""
