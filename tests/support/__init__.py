"""What tests share: plain modules, no magic."""
