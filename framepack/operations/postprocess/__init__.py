"""Operations on whole videos."""
