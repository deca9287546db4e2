"""Verifying a search's groups: two people, blind to each other, accept or reject each suggested label.

The paper's natural images are failures whose label the stronger model suggested and "human annotators" verified
(section 4.1); by SPEC, 3, two people do so. `python -m mad.review` is the command.
"""
