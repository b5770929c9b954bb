"""Configuration: Hydra YAML groups, and the pydantic models that check them before anything heavy is imported."""
