"""Views of a scheduler.  No view runs or ends a task, and an unused view costs nothing.

The core calls observers and debug through two fields; all other views read the state when the user asks::

    trace/     a run as a file: written, read, shown as tables and as a page
    progress/  how far the queues are, as bars or lines, while a block runs
    debug      the notes of Scheduler(debug=True): where tasks were submitted, failures not retrieved
    graph      the pending and running tasks, drawn; read from their snapshot
    why        why a task has not started, or not ended, in words
    events     the events, and the observers that are called with them
    text       names and columns for people, in any file
"""
