"""Submissions: a finished run as a folder that others can check, and its verification."""
