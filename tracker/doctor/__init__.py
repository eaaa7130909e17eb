"""Whether this mailbell works as it is set up: checks that a person can run, and that run each day.

Each check (one function in the files beside this one) says what is fine, or what is wrong and what to do.
None changes anything but its own traces.
"""
