"""Views of a scheduler: events, why, graph, debug, progress, trace.

Nothing here runs, ends or delays a task, and an unobserved scheduler pays for none of it: the core
tests one field, its `EventSink`.  All other views read the scheduler's state under the lock when the
user asks.  Imports point down::

    trace/     a run as a file: written, read, as tables, as a page
    progress/  how far the queues are, as bars or lines, while a block runs
    debug      the notes of Scheduler(debug=True): where tasks were submitted, failures not retrieved
    graph      the pending and running tasks, to be drawn; below it
    snapshot   the tasks and dependencies of one moment
    drawing    boxes and arrows for Mermaid
    why        why a task has not started, or not ended, in words
    events     the events, and the observers that are called with them
    text       names and columns for people, in any file
"""
