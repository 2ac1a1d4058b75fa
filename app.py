"""The app: `moe app`, or `streamlit run app.py`."""

from moe.views.app import main

main()
