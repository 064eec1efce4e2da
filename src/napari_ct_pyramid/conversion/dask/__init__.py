"""Jobs on a Dask cluster: the client, the hand-out of parts to workers, and what runs in a worker.

Only this package, and `omezarr.libraries`, import Dask.
"""

# What Dask does not do for us keeps these lines, apart from imports and docstrings:
# - client: addresses in plain words, `local` on loopback with TLS and without fixed ports, Ctrl-C that ends workers in
#   order (Dask has no option for it);
# - cluster: a part at a time for each worker (see its docstring), a minute without workers, a worker that is silent
#   while it hands over (a step of `as_completed` has no time limit), errors in one sentence, and the end of a job whose
#   client was killed (Dask keeps the worker plugins of such a client);
# - worker: the checks of version, source and output before anything is written, and the stop of a running block (Dask
#   does not interrupt threads).
