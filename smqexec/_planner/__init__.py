"""The planner: which task starts next.

Pure bookkeeping: nothing here blocks, locks, reads a clock or calls user code, so any interleaving can be
replayed in a test as a list of calls.  The owner serialises all calls.  Imports point down::

    planner    DependencyPlanner: the verbs, and the graph
    newest     the order "newest": a suspended depth-first search; read this for the theory
    searches   its searches: begun, advanced, adopted, taken over, dissolved
    line       things by number: where nodes, searches and shelves wait; the records of a search
    oldest     the order "oldest"
    nodes      the records of nodes and queues, and the links between nodes
"""
