"""Operations of the language and captioning models."""
