"""Where proposals come from besides packages and the program generator."""
