"""The kinds of windows, one file each. Importing this registers them all."""

from a4ps.ui.model.panes import browser as browser
from a4ps.ui.model.panes import debugger as debugger
from a4ps.ui.model.panes import inspector as inspector
from a4ps.ui.model.panes import workspace as workspace
