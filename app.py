"""The app: `moe app`, or `streamlit run app.py`."""

from moe.app.frame import main

main()
