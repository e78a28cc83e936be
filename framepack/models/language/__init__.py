"""Language models: prompts and captions."""
