"""`a4ps memory forget`: what is to be forgotten for good, every place that has it, and then none."""

from __future__ import annotations

import click

from a4ps.cli.connected import call
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.streams import somebody_is_there, standard_input
from a4ps.cli.waiting import waiting
from a4ps.errors import CallerError, Stopped, UsageError
from a4ps.protocol.objects import ForgettingPlanObject, ForgottenObject, TextPlaceObject
from a4ps.protocol.requests import forgetting
from a4ps.protocol.requests.base import Request

#: What a line of the plan begins with.
_MARKS = {"holds": ("-", "red"), "derives": ("-", "yellow"), "named": ("·", None)}


@click.command("forget")
@click.argument("name", metavar="[ID|TURN]", required=False)
@click.option("--text", metavar="TEXT", help="Forget whatever holds TEXT, in any case; - reads it from standard input.")
@click.option("--spare-derived", is_flag=True, help="Leave what only derives from it, such as turns that recalled it.")
@click.option("--dry-run", is_flag=True, help="Show the plan, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@framed
def forget(frame: Frame, name: str | None, text: str | None, spare_derived: bool, dry_run: bool, yes: bool) -> None:
    """Forget a turn or a memory, or whatever holds a TEXT, for good.

    First shows the plan: every place that holds it or derives from it. Then takes it out of all of them: no search of
    A4PS's folders finds it again, and nothing brings it back. That something was there stays known; `image verify` holds.
    What is only named is yours to deal with, as the plan says how: backups, and files that you wrote.

    Without arguments, finishes a forgetting that was cut off. Your shell may keep what you typed: --text - avoids it.
    """
    if (name is not None) and (text is not None):
        raise UsageError("name a turn or a memory, or give a text, not both", next_step="a4ps memory forget --help")
    image = frame.places.image
    if not image.exists():
        raise CallerError(f"there is no image at {image} yet", next_step='a4ps ask "..." makes one')
    if name is None and text is None:
        _finish(frame)
        return
    if text == "-":
        text = standard_input().read().decode("utf-8", "surrogateescape")
    with waiting("Looking for it everywhere"):
        plan: ForgettingPlanObject = call(
            frame, forgetting.PlanForgetting(thing=name, text=text, spare_derived=spare_derived)
        )
    places = plan["places"]
    going = sum(place["relation"] != "named" for place in places)
    if not frame.as_json:
        _show(places, going)
    doing = bool(going) and not dry_run
    if doing:
        _ask(frame, yes, going)
        _forgotten(frame, forgetting.Forget(thing=name, text=text, spare_derived=spare_derived))
    if frame.as_json:
        frame.print_object({"forgotten": doing, "places": places})
    elif doing:
        click.echo("Forgotten.")


def _finish(frame: Frame) -> None:
    finished = _forgotten(frame, forgetting.FinishForgetting())
    if frame.as_json:
        frame.print_object({"forgotten": finished["forgotten"], "places": []})
    elif finished["forgotten"]:
        click.echo("What was cut off is forgotten now.")
    else:
        raise UsageError("nothing is waiting to be forgotten", next_step="name it: a4ps memory forget TURN, or --text")


def _forgotten(frame: Frame, request: Request) -> ForgottenObject:
    try:
        with waiting("Forgetting"):
            done: ForgottenObject = call(frame, request)
    except Stopped:
        raise Stopped(
            "stopped waiting; what has begun to be forgotten is forgotten all the same",
            next_step="the same with --dry-run shows what is left",
        ) from None
    return done


def _show(places: list[TextPlaceObject], going: int) -> None:
    if not going:
        click.echo("Nothing here holds it.")
    for place in places:
        mark, colour = _MARKS[place["relation"]]
        click.echo(f"{click.style(mark, fg=colour)} {plain(place['holder'])}: {plain(place['where'])}")
        if place["next"]:
            click.echo(f"    → {plain(place['next'])}")


def _ask(frame: Frame, yes: bool, count: int) -> None:
    """Raises `Stopped` where a person says no, `UsageError` where nobody is there to ask: it cannot be undone."""
    if yes:
        return
    if frame.as_json or not somebody_is_there():
        raise UsageError(
            "forgetting cannot be undone, and nobody is there to ask",
            next_step="--dry-run shows the plan, --yes does it",
        )
    what = "this" if count == 1 else f"these {count:,} places"
    if not click.confirm(f"Forget {what} for good?", default=False, err=True):
        raise Stopped("nothing was changed")
