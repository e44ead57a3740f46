"""CircuitScope in the browser: ``streamlit run app.py``."""

import streamlit as st

from pages.ui.shared.menu import PAGES

# no icons: Streamlit would fetch Material's favicon from Google before the page sets its own
st.navigation(
    [
        st.Page(f"pages/{name}.py", title=title, default=name == "home")
        for name, (title, _) in PAGES.items()
    ],
    position="hidden",  # every page draws the menu itself; see pages/ui/shared/menu.py
).run()
