"""The app: a folder for each page, its frame, and what pages share."""
