"""Layout that the theme's settings cannot express, as style sheets of the page."""

PAGE = """
.stMainBlockContainer { padding: 2.6rem 2.2rem 2rem; }
.stMainBlockContainer h1 { font-size: 1.6rem; padding: 0.25rem 0; }
.stMainBlockContainer h2 { font-size: 1.2rem; padding: 0.4rem 0; }
[data-testid=stCaptionContainer] { color: inherit !important; opacity: 0.82; }
[data-testid=stSliderThumbValue], [data-testid=stSliderThumbValue] *,
[data-testid=stButtonGroup] button, [data-testid=stButtonGroup] button *,
[data-testid=stWidgetLabel], [data-testid=stWidgetLabel] * { color: inherit !important; }
.stAppHeader { background: transparent; }
.stAppHeader, .stAppHeader * { pointer-events: none; }
.stAppHeader button, .stAppHeader button *, .stAppHeader a { pointer-events: auto; }
.st-key-page_line { align-items: center; padding-right: 2.5rem; }
"""
"""Every page."""

RAIL = """
[data-testid=stSidebarHeader] { height: 0.8rem; min-height: 0; padding: 0; }
@media (min-width: 768px) {
  [data-testid=stSidebar] { width: 56px !important; min-width: 56px !important;
    max-width: 56px !important; transform: none !important; }
  [data-testid=stSidebarCollapseButton], [data-testid=stExpandSidebarButton] { display: none; }
  [data-testid=stSidebarHeader] { margin: 0; }
  [data-testid=stSidebarContent] { padding: 0; scrollbar-gutter: auto; scrollbar-width: none; }
  [data-testid=stSidebar] [data-testid=stSidebarContent] * { min-width: 0; }
  [data-testid=stSidebarUserContent] { width: 56px; }
  [data-testid=stSidebar] [data-testid=stSidebarUserContent] { margin: 0; padding: 0 2px 0.5rem; }
  [data-testid=stSidebar] [data-testid=stVerticalBlock] { gap: 0.15rem; }
  [data-testid=stSidebar] a[data-testid=stPageLink-NavLink] { flex-direction: column; gap: 1px;
    width: 52px; padding: 5px 0 4px; align-items: center; justify-content: center; }
  [data-testid=stSidebar] a[data-testid=stPageLink-NavLink] p { font-size: 10.5px;
    line-height: 1.2; }
  [data-testid=stSidebar] .stPopover button { width: 52px; min-height: 34px; padding: 0; }
  [data-testid=stSidebar] .stPopover button p { font-size: 10.5px; }
  [data-testid=stSidebar] > div > div:last-child { width: 0; }
}
"""
"""The menu as a rail of 56 pixels; on a narrow screen it is Streamlit's own drawer."""

WORKBENCH = """
.stApp [data-testid=stStatusWidget] { display: none; }
.stMainBlockContainer:has(.st-key-graph_top) { display: flex; flex-direction: column;
  height: 100dvh; min-height: 560px; padding: 0; overflow: hidden; }
.stMain:has(.st-key-graph_top) { overflow: hidden; }
.stMainBlockContainer:has(.st-key-graph_top) > [data-testid=stVerticalBlock] { flex: 1;
  min-height: 0; gap: 0; }
.stMainBlockContainer > [data-testid=stVerticalBlock] > *:has(.st-key-workbench) { flex: 1;
  min-height: 0; display: flex; flex-direction: column; }
*:has(> .st-key-workbench) { flex: 1; min-height: 0; }
.st-key-workbench { position: relative; flex: 1; min-height: 0; height: 100%; gap: 0; }
.st-key-workbench > .stElementContainer { position: static; }
.st-key-workbench > .stElementContainer iframe { position: absolute; inset: 0; width: 100%;
  height: 100% !important; }
.st-key-workbench_side { position: absolute; top: 41px; right: 0; bottom: 0; z-index: 3;
  width: var(--side); max-width: 100%; padding: 0.8rem 0.9rem 1.2rem; overflow-y: auto;
  gap: 0.7rem; scrollbar-width: thin; }
.st-key-workbench_side h2 { font-size: 1rem; padding: 0; }
.st-key-graph_top { align-items: center; gap: 0.45rem; padding: 5px 3.2rem 4px 0.6rem;
  min-height: 46px; }
.st-key-graph_top [data-testid=stTextInput] label,
.st-key-graph_top [data-testid=stSelectbox] label { display: none; }
.st-key-graph_top button, .st-key-graph_top input, .st-key-graph_top [data-baseweb=select] > div {
  min-height: 34px; height: 34px; }
.st-key-graph_top [data-testid=stText] { max-height: 56px; overflow-y: auto; font-size: 12px;
  line-height: 1.35; white-space: pre-wrap; }
.st-key-graph_tools { align-items: center; gap: 0.45rem; padding: 0 0.6rem 4px; }
.st-key-graph_title { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); }
.st-key-graph_notes, .st-key-graph_file_notes { padding: 0 0.8rem; }
.st-key-graph_notes:empty, .st-key-graph_file_notes:empty { display: none; }
@media (max-width: 1400px) {
  .st-key-graph_top .stPopover button p { position: absolute; width: 1px; height: 1px;
    overflow: hidden; clip-path: inset(50%); }
}
@media (max-width: 1000px) {
  .stMain:has(.st-key-graph_top) { overflow: auto; }
  .stMainBlockContainer:has(.st-key-graph_top) { height: auto; overflow: visible; }
  .st-key-graph_top { padding-left: 2.6rem; }
  .st-key-workbench { height: 92dvh; min-height: 620px; flex: none; }
  .st-key-workbench_side { left: 0; top: calc(54% + 42px); width: auto; }
}
"""
"""The Graph page: one screen, with the canvas over all the height that is left."""
