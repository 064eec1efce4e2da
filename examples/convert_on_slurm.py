"""Convert a volume with workers that SLURM starts, one in each job.

    python convert_on_slurm.py scan.tif scan.ome.zarr -c 128 128 128 --jobs 8 --queue short --account tomo

First install: `pip install 'napari-ct-pyramid[dask]' dask-jobqueue`. After an interruption, the same command resumes.
See docs/how-to/slurm.md.
"""

from __future__ import annotations

import argparse

from dask_jobqueue import SLURMCluster
from distributed import Client

import napari_ct_pyramid as ct

# Dask pauses a worker at 80 % of its memory, so the budget is less than that.
SHARE = 0.75


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert a volume to OME-Zarr with workers that SLURM starts.")
    parser.add_argument("source")
    parser.add_argument("output")
    parser.add_argument("-c", "--chunks", nargs=3, type=int, default=[128, 128, 128], metavar=("Z", "Y", "X"))
    parser.add_argument("--jobs", type=int, default=4, help="number of jobs, one worker each (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=8, help="cores of a job (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=16, help="memory of a job, in GB (default: %(default)g)")
    parser.add_argument("--walltime", default="01:00:00", help="time limit of a job (default: %(default)s)")
    parser.add_argument("--queue", help="SLURM's partition")
    parser.add_argument("--account", help="SLURM's account")
    parser.add_argument("--interface", help="network between the nodes, such as ib0")
    parser.add_argument("--home", default="~", help="folder for keys that all nodes see (default: %(default)s)")
    args = parser.parse_args()
    cluster = SLURMCluster(
        queue=args.queue,
        account=args.account,
        cores=args.cores,
        processes=1,
        memory=f"{args.memory} GB",
        walltime=args.walltime,
        interface=args.interface,
        security=True,  # anyone who can reach a scheduler can run any code on it
        shared_temp_directory=args.home,
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    )
    with cluster, Client(cluster) as client:
        cluster.adapt(minimum_jobs=args.jobs, maximum_jobs=args.jobs)  # replaces a job that ends early
        print(f"Waiting for the first of {args.jobs} jobs")
        client.wait_for_workers(1)
        receipt = ct.convert(
            args.source,
            args.output,
            client=client,
            chunks=args.chunks,
            max_memory=int(SHARE * args.memory * 1e9),
            progress=lambda progress: print(f"{progress.fraction:.0%}", end="\r", flush=True),
        )
    print(f"{receipt.output}: {receipt.gb_per_s:.2f} GB/s by {receipt.workers} workers")


if __name__ == "__main__":
    main()
