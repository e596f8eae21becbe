"""What a run found: the answer to its question, the causes of failures, and what to do next."""
