"""The peers: the same job as each of their own documents would have it, and a bare loop without a queue.

Each reads where broker and buyer are from the environment, and enqueues leads when it is run as a program.
"""
