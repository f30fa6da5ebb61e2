"""Where a new window goes."""

from __future__ import annotations

from dataclasses import replace

from a4ps.ui.model.arrangement import first_world
from a4ps.ui.model.furniture import SCALE, room_of
from a4ps.ui.model.pane import known_panes
from a4ps.ui.opening import opened


def test_a_new_window_is_larger_where_type_is_and_lies_in_the_room() -> None:
    pane = known_panes()["memory"]
    world = first_world(1600, 1000)
    large = world.put(replace(world.root, state={SCALE: 1.5}))
    rects = []
    for each in (world, large):
        after, id = opened(each, pane, {})
        rect, room = after.rect(id), room_of(each)
        assert room.x <= rect.x
        assert rect.right <= room.right
        assert room.y <= rect.y
        assert rect.bottom <= room.bottom
        rects.append(rect)
    assert rects[1].width == 1.5 * rects[0].width
