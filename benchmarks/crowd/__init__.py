"""A crowd before the app: visitors without browsers, who speak Streamlit's protocol."""
