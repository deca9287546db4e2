"""The report of a whole repetition of the paper: claims, numbers, figures, steps and submissions, in one folder."""
