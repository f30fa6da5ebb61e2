"""A part of the campaign of kills, as `python -m … SEED KILLS FOLDER`; says its figures as JSON. Run by
test_kill_protos.py, several at once."""

from __future__ import annotations

import json
import logging
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.faults.acts import ACTS, MIGRATE, WORKERS, act_of
from tests.faults.killing import ROOT
from tests.faults.ledger import Heard, Ledger
from tests.faults.lives import Request

KILLS_OF_AN_IMAGE = 20
KILLS_OF_AN_OLD_ONE = 8
"""Of an image that begins in an earlier format: fewer, so that more of them are migrations."""
DEEP_EACH = 7
AIMS = ("open", "close", "restore", *ACTS)
RARE = ("restore", "restore", "load", "bring_in", "revert", "forget")


class Campaign:
    def __init__(self, seed: int, folder: Path, server: subprocess.Popen[str]) -> None:
        self.chance = random.Random(seed)
        self.seed = seed * 1_000_000
        self.folder = folder
        self.server = server
        self.counts: Counter[str] = Counter()
        self.kills = 0
        self.killed_in: Counter[str] = Counter()

    def run(self, kills: int) -> None:
        number = 0
        while self.kills < kills:
            number += 1
            folder = self.folder / str(number)
            old = number % 2 == 0
            ledger = Ledger(folder, old=old)
            upto = min(kills, self.kills + (KILLS_OF_AN_OLD_ONE if old else KILLS_OF_AN_IMAGE))
            looks = 0
            while self.kills < upto:
                looks += 1
                heard = Heard()
                # Now and then nobody looks in between, and what a kill has left is opened by one who is killed too.
                for life in range(self.chance.choice((1, 1, 2, 3))):
                    self.live(ledger, heard, first=life == 0)
                ledger.check(heard, deep=looks % DEEP_EACH == 0 or self.kills >= upto)
            self.counts += ledger.counts
            shutil.rmtree(folder)

    def live(self, ledger: Ledger, heard: Heard, *, first: bool) -> None:
        chance = self.chance
        self.seed += 1
        aim = self.aim(ledger) if chance.random() < 0.6 else None
        restoring = first and ledger.backups() and (aim == "restore" or chance.random() < 0.05)
        request = Request(
            folder=str(ledger.place.folder),
            seed=self.seed,
            threads=chance.choice((1, 1, 2, WORKERS)),
            acts=chance.randrange(1, 8),
            restore=chance.choice(ledger.backups()) if restoring else None,
            aim=None if aim == "restore" and not restoring else aim,
            share=chance.uniform(0.0, 1.1),
        )
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        answer = json.loads(self.server.stdout.readline())
        assert not answer["broke"], f"{request}\n{answer['broke']}"
        here = Heard()
        here.note(answer["said"])
        heard.note(answer["said"])
        if answer["killed"]:
            self.kills += 1
            self.killed_in.update({act_of(key) for key in here.in_flight} or {"nothing"})
            self.counts["kills with more than one act in flight"] += len(here.in_flight) > 1
        else:
            self.counts["lived to its end"] += 1

    def aim(self, ledger: Ledger) -> str:
        """What the kill is to meet: an act that can be done now, or the one that it needs first."""
        if ledger.place.is_old():
            return MIGRATE
        aim = self.chance.choice((*AIMS, *RARE))
        if aim == "load" and ledger.place.portable(0) not in ledger.held:
            return "save"
        if aim == "forget" and not ledger.has_told():
            return "tell"
        if aim == "bring_in" and ledger.place.export(0) not in ledger.held:
            return "export"
        return aim


def main(seed: int, kills: int, folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.lives"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        campaign = Campaign(seed, folder, server)
        campaign.run(kills)
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(60) == 0
    print(json.dumps({"killed in": campaign.killed_in, "counts": campaign.counts}))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what this process meets is what it counts
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
