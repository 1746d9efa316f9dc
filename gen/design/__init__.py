"""What the hardware needs, in integers: the Design, its file and what is read off it."""
