"""What hypothesis may do next: requests that make sense, and those that must be refused."""
