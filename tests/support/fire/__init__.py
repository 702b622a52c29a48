"""The whole product under load while it is killed, paused and cut: what a fire needs."""
