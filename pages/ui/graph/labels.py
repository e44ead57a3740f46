"""Labels that a visitor gives to features."""

import circuitscope_core as cs
from pages.ui.shared.errors import draw_error
from pages.ui.shared.notes import cards_of, own_cards_of, write_notes
from pages.ui.shared.tracing import Shown
from pages.ui.shared.trail import Relabel


def write_label(shown: Shown, layer: int, feature: int, text: str) -> Relabel | None:
    """Keep a feature's label, here and in every graph of this model.

    Empty, or the automatic label itself, brings the automatic one back. A failure is shown, nothing
    else is lost, and None is returned.
    """
    model = shown.tracing.model
    card = cards_of(model).card(layer, feature)
    before = card.label if card.by_hand else ""
    after = "" if text == own_cards_of(model).label(layer, feature) else text
    try:
        write_notes(model.name, lambda notes: notes.label(layer, feature, after))
    except cs.CircuitScopeError as error:
        draw_error(error)
        return None
    return Relabel(layer, feature, before, after)
