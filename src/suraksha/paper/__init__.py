"""The paper's Table 2, its figures and its claims."""
