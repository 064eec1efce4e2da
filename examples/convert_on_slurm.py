"""Convert a volume with workers that SLURM starts, each in a job of its own.

    python convert_on_slurm.py scan.tif scan.ome.zarr -c 128 128 128 --jobs 8 --queue short --account tomo

Takes `pip install 'napari-ct-pyramid[dask]' dask-jobqueue`. The same command goes on where it was interrupted. See
docs/slurm.md.
"""

from __future__ import annotations

import argparse

from dask_jobqueue import SLURMCluster
from distributed import Client

import napari_ct_pyramid as ct

# Dask lets a worker do nothing more at 80 % of the memory it is given: the budget stays below that.
SHARE = 0.75


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert a volume to OME-Zarr with workers that SLURM starts.")
    parser.add_argument("source")
    parser.add_argument("output")
    parser.add_argument("-c", "--chunks", nargs=3, type=int, default=[128, 128, 128], metavar=("Z", "Y", "X"))
    parser.add_argument("--jobs", type=int, default=4, help="jobs, of one worker each (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=8, help="of a job (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=16, help="of a job, in GB (default: %(default)g)")
    parser.add_argument("--walltime", default="01:00:00", help="of a job (default: %(default)s)")
    parser.add_argument("--queue", help="SLURM's partition")
    parser.add_argument("--account", help="SLURM's account")
    parser.add_argument("--interface", help="network by which workers are reached, such as ib0")
    parser.add_argument("--home", default="~", help="folder that all nodes see, for keys (default: %(default)s)")
    asked = parser.parse_args()
    cluster = SLURMCluster(
        queue=asked.queue,
        account=asked.account,
        cores=asked.cores,
        processes=1,
        memory=f"{asked.memory} GB",
        walltime=asked.walltime,
        interface=asked.interface,
        security=True,  # whoever can talk to a scheduler can have it run anything
        shared_temp_directory=asked.home,
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    )
    with cluster, Client(cluster) as client:
        cluster.adapt(minimum_jobs=asked.jobs, maximum_jobs=asked.jobs)  # a job that ends is followed by another
        print(f"Waiting for the first of {asked.jobs} jobs")
        client.wait_for_workers(1)
        receipt = ct.convert(
            asked.source,
            asked.output,
            client=client,
            chunks=asked.chunks,
            max_memory=int(SHARE * asked.memory * 1e9),
            progress=lambda progress: print(f"{progress.fraction:.0%}", end="\r", flush=True),
        )
    print(f"{receipt.output}: {receipt.gb_per_s:.2f} GB/s by {receipt.workers} workers")


if __name__ == "__main__":
    main()
