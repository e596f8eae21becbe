"""The words that platforms and scenarios share, and the judge that brings the two together."""
