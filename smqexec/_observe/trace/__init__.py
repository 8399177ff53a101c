"""A recorded run: written to a trace file, read back, and shown.

::

    write         Recording: an observer, and the thread that writes the file; below it
    encode        the format of the file
    page/         the timeline page of a trace
    tables        a trace as tables, for the terminal and the page
    read          Trace: a file as records; the critical path and final results
"""
