"""Operations on the main video model."""
