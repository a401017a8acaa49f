"""Text and labelled data in, packed blocks of tokens out."""
