"""Whether this mailbell works as it is set up: checks that a person can run, and that run each day.

Each check (one function in the files beside this one) says what is fine, or what is wrong and what to do.
They change nothing but their own traces, and set a mailbox going whose provider lets us in again.
"""
