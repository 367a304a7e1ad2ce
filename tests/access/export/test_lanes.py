"""The buffers of an export: given back where they are whole, made anew where one was given up."""

from __future__ import annotations

from access.export.lanes import works


def test_what_was_given_up_costs_new_buffers_and_what_was_not_used_does_not() -> None:
    with works() as shop:
        blocks, pieces = shop.blocks, shop.pieces
        shop.quiet()
        assert (shop.blocks, shop.pieces) == (blocks, pieces)
        blocks.take()
        shop.quiet()
        assert shop.blocks is not blocks
        assert shop.blocks.whole
        assert shop.pieces is pieces
