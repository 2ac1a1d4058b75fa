"""The app's server: what stands around Streamlit when the pages are public."""
