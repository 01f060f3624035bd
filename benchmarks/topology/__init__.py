"""The whole topology as processes on one machine, and what is promised for when parts of it die."""
