"""The page The $5M question: from hours of chips to money, and what that leaves out."""
