"""The kinds of windows, one file each. Importing this registers them all."""

from a4ps.ui.model.panes import approvals as approvals
from a4ps.ui.model.panes import browser as browser
from a4ps.ui.model.panes import debugger as debugger
from a4ps.ui.model.panes import help as help
from a4ps.ui.model.panes import inspector as inspector
from a4ps.ui.model.panes import memory as memory
from a4ps.ui.model.panes import models as models
from a4ps.ui.model.panes import plots as plots
from a4ps.ui.model.panes import status as status
from a4ps.ui.model.panes import timeline as timeline
from a4ps.ui.model.panes import tool_bench as tool_bench
from a4ps.ui.model.panes import transcript as transcript
from a4ps.ui.model.panes import why as why
from a4ps.ui.model.panes import workspace as workspace
