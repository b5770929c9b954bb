"""What holds untrusted code: the layers of isolation, and the zygotes whose children are locked into them."""
