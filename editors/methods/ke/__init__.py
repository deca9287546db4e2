"""KE, KnowledgeEditor: a trained network turns the gradient of one failure into an edit (De Cao et al., 2021)."""
